// SPDX-License-Identifier: MIT
// longpin and its peers under one name each, for benchmarks.
#pragma once

#include "../guest/support/raw_device.hpp"

#include <memory>
#include <span>
#include <sys/uio.h>

namespace bench {

class pinner {
public:
    pinner() = default;
    pinner(const pinner&) = delete;
    pinner& operator=(const pinner&) = delete;
    pinner(pinner&&) = delete;
    pinner& operator=(pinner&&) = delete;
    virtual ~pinner() = default;

    /// Each range is a registration of its own, for reading and writing. 0, or the errno of one
    /// that was refused, and then none is held.
    virtual int pin(std::span<const iovec> ranges) = 0;

    /// Ends the registrations of the last pin().
    virtual void unpin() = 0;
};

/// What is wanted of the pins.
enum class promise {
    longterm,
    /// The kernel may take them back: a lease, and for the floor get_user_pages without
    /// FOLL_LONGTERM. The peers have nothing of the kind.
    revocable,
};

struct pinner_kind {
    const char* name;
    std::unique_ptr<pinner> (*make)(promise promised);
};

/// longpin first, then the floor that get_user_pages sets, then the peers (tests/guest/peers).
std::span<const pinner_kind> pinner_kinds();

/// longpin's long-term pins, in a context that others use too.
std::unique_ptr<pinner> make_longpin(std::shared_ptr<const guest::raw_device> device);

} // namespace bench
