// SPDX-License-Identifier: MIT
// What happens to a leased pin while hold holds it, and what hold does about it.
#pragma once

#include "mapping.hpp"
#include "output.hpp"

#include <longpin/device.hpp>

#include <cstdint>
#include <iosfwd>
#include <string>

namespace pinpin {

/// What took pages back, in words: "its memory was unmapped, moved or mapped over (unmap)".
std::string to_text(longpin::cause cause);

/// An event of a lease with all its facts. The text of the first field is the line for people.
/// \param now  the pin, as it is behind the event
record lease_fields(const longpin::lease_event& event, const longpin::pin_info& now,
                    std::uint64_t page_size);

/// Tells the events of a leased pin, a line or an object each, and answers them.
class lease_log {
public:
    /// Everything must outlive it.
    /// \param held    the only leased pin of \p device, of \p memory
    /// \param repins  whether to take what is mapped there now when pages were taken back
    lease_log(std::ostream& out, bool as_json, const longpin::device& device,
              const longpin::pin& held, const mapping& memory, bool repins);

    /// Tells the events that there are. Doesn't wait for any.
    void catch_up() const;

private:
    void tell(const record& fields) const;
    void let_go(const longpin::lease_event& event) const;
    void repin() const;

    std::ostream& out_;
    bool as_json_;
    const longpin::device& device_;
    const longpin::pin& held_;
    const mapping& memory_;
    bool repins_;
    std::uint64_t page_size_;
};

} // namespace pinpin
