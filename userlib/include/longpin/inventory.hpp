// SPDX-License-Identifier: MIT
#pragma once

#include <longpin/error.hpp>
#include <longpin/export.hpp>
#include <longpin/memory_kind.hpp>
#include <longpin/pin.hpp>
#include <longpin/result.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace longpin {

namespace detail {
class netlink_socket;
}

/// A mapped file, as it was when memory of it was pinned.
struct mapped_file {
    std::string path; ///< as the process saw it; " (deleted)" behind a file without a name
    std::uint32_t device_major = 0; ///< of the device that it lies on, or that it is
    std::uint32_t device_minor = 0; ///< likewise
    std::uint64_t inode = 0;        ///< on that device
    std::uint64_t offset = 0;       ///< bytes: where in the file the first pinned byte of it lies

    /// Equal when all members are.
    bool operator==(const mapped_file&) const = default;
};

/// Whether a pin still holds what it was made for. Only a lease may have lost some. The numbers are
/// those of the kernel's interface, and a newer module may send one that is not listed.
enum class pin_state : std::uint32_t {
    held = 1,           ///< all of it
    partly_revoked = 2, ///< some of it was taken back, or let go
    revoked = 3,        ///< all of it was; the handle stays until the pin ends
};

/// The short name of a state: "held". "unknown" for a number that this version of the
/// library does not know.
LONGPIN_EXPORT std::string_view name(pin_state state) noexcept;

/// A pin of any process, as the kernel lists it.
struct pin_record {
    std::uint32_t context = 0;         ///< the open file that it belongs to; never 0
    std::uint32_t handle = 0;          ///< names the pin in its context; never 0
    pid_t pid = 0;                     ///< who made it; 0: not in the reader's pid namespace
    std::string comm;                  ///< the name that the process had then
    uid_t uid = 0;                     ///< who is charged
    std::uint64_t address = 0;         ///< first byte, in the address space of that process
    std::uint64_t length = 0;          ///< bytes
    std::uint64_t cookie = 0;          ///< as given in pin_options
    bool writable = false;             ///< made for writing
    bool orphaned = false;             ///< that process is gone, and the open file lives on
    longpin::footprint footprint;      ///< what it holds now
    bool lease = false;                ///< the kernel may take pages back
    pin_state state = pin_state::held; ///< whether it did
    std::uint64_t revoked_pages = 0;   ///< pages of the range that it no longer holds
    std::chrono::milliseconds grace{}; ///< of a lease, as given in pin_options
    std::chrono::nanoseconds age{};    ///< since it was made
    std::optional<mapped_file> file;   ///< behind the first mapping that has one

    /// Equal when all members are.
    bool operator==(const pin_record&) const = default;
};

/// An open file of /dev/longpin, as the kernel lists it.
struct context_record {
    std::uint32_t id = 0;           ///< never 0
    pid_t pid = 0;                  ///< who opened it; 0: not in the reader's pid namespace
    std::string comm;               ///< the name that the process had then
    uid_t uid = 0;                  ///< of that process
    bool orphaned = false;          ///< that process is gone, and the open file lives on
    std::uint64_t pins = 0;         ///< pins that it holds
    std::uint64_t pages = 0;        ///< pages that they hold
    std::chrono::nanoseconds age{}; ///< since it was opened

    /// Equal when all members are.
    bool operator==(const context_record&) const = default;
};

/// Sums over all users, since the module was loaded.
struct statistics {
    std::uint64_t contexts = 0;              ///< open
    std::uint64_t pins = 0;                  ///< held
    std::uint64_t pages = 0;                 ///< held
    std::uint64_t runs = 0;                  ///< physically contiguous runs among them
    std::uint64_t bookkeeping = 0;           ///< bytes of kernel memory for the records
    std::uint64_t peak_pages = 0;            ///< most pages that were ever held at once
    std::uint64_t pins_made = 0;             ///< ever
    std::uint64_t pages_taken = 0;           ///< by these
    std::chrono::nanoseconds pinning_time{}; ///< spent making them
    std::uint64_t dry_runs = 0;              ///< counted nowhere else
    std::map<reason, std::uint64_t> refused; ///< reasons for which any request was refused
    std::uint64_t revocations = 0;           ///< how often pages of a lease were taken back
    std::uint64_t pages_revoked = 0;         ///< by these
    std::uint64_t repins = 0;                ///< how often a lease got pages again
};

/// Which pins are meant: those that match every member that is set.
struct pin_filter {
    std::optional<std::uint32_t> context;  ///< the open file
    std::optional<std::uint32_t> handle;   ///< as its holder calls it
    std::optional<pid_t> pid;              ///< who made the pin, in the reader's pid namespace
    std::optional<uid_t> uid;              ///< who is charged
    memory_kind kinds = memory_kind::none; ///< any of these; none: whatever kind
};

/// A process that has an open file of /dev/longpin.
struct holder {
    pid_t pid = 0;             ///< in the reader's pid namespace
    std::string comm;          ///< its name now
    int descriptor = 0;        ///< by which it has the file; the lowest, if by several
    std::uint32_t context = 0; ///< which file

    /// Equal when all members are.
    bool operator==(const holder&) const = default;
};

/// Who has a context open, by /proc/PID/fdinfo of the processes that the caller may
/// look into: those of its own user, or all with CAP_SYS_PTRACE. A file that is under way over a
/// socket is nobody's for that time. In the order of contexts and pids.
/// \param context  which; empty: every open file of /dev/longpin
LONGPIN_EXPORT std::vector<holder> find_holders(std::optional<std::uint32_t> context = {});

/// Who pinned which memory: the view of an operator. A reader with CAP_SYS_ADMIN sees
/// everything, any other the pins and contexts of its own uid. /dev/longpin need not be accessible.
/// Talks to the module's generic netlink family (uapi/netlink/longpin.yaml).
///
/// Every listing is complete: what exists from its start to its end is listed, and
/// once, whatever comes and goes meanwhile.
///
/// Move-only; an object that was moved from may be assigned and destroyed, every other member
/// throws std::logic_error. What the try_ members return, and what they throw all the same, is told
/// at result.
///
/// Thread safety: one thread at a time. Different objects are independent of each other.
class LONGPIN_EXPORT inventory {
public:
    /// Finds the family, and opens a socket for it.
    /// \throws error  ENOENT: the module is not loaded
    inventory();

    /// As the constructor, for programs without exceptions.
    [[nodiscard]] static result<inventory> try_open();

    /// Takes it over, and leaves \p other without.
    inventory(inventory&& other) noexcept;

    /// Lets go of what it had, and takes \p other's over.
    inventory& operator=(inventory&& other) noexcept;
    inventory(const inventory&) = delete;
    inventory& operator=(const inventory&) = delete;
    ~inventory();

    /// The pins that match, in the order of contexts and handles.
    [[nodiscard]] std::vector<pin_record> pins(const pin_filter& filter = {}) const;

    /// As pins(), for programs without exceptions.
    [[nodiscard]] result<std::vector<pin_record>> try_pins(const pin_filter& filter = {}) const;

    /// Calls \p visit with each pin that matches, in that order, as they come: for listings that
    /// need not be in memory as a whole. \p visit must not use this object. What it throws ends the
    /// listing, and passes through.
    void for_each_pin(const pin_filter& filter,
                      const std::function<void(const pin_record&)>& visit) const;

    /// As for_each_pin(), for programs without exceptions.
    [[nodiscard]] result<void>
    try_for_each_pin(const pin_filter& filter,
                     const std::function<void(const pin_record&)>& visit) const;

    /// One pin. Empty: there is none, or the caller may not see it.
    [[nodiscard]] std::optional<pin_record> find_pin(std::uint32_t context,
                                                     std::uint32_t handle) const;

    /// As find_pin(), for programs without exceptions.
    [[nodiscard]] result<std::optional<pin_record>> try_find_pin(std::uint32_t context,
                                                                 std::uint32_t handle) const;

    /// The open files of /dev/longpin, in the order of their ids.
    [[nodiscard]] std::vector<context_record> contexts() const;

    /// As contexts(), for programs without exceptions.
    [[nodiscard]] result<std::vector<context_record>> try_contexts() const;

    /// The statistics. Who isn't privileged may see them in the initial pid and user namespaces
    /// alone, and so not in a container: EPERM.
    [[nodiscard]] longpin::statistics statistics() const;

    /// As statistics(), for programs without exceptions.
    [[nodiscard]] result<longpin::statistics> try_statistics() const;

private:
    explicit inventory(std::unique_ptr<detail::netlink_socket> socket) noexcept;
    [[nodiscard]] detail::netlink_socket& socket() const;

    std::unique_ptr<detail::netlink_socket> socket_;
};

} // namespace longpin
