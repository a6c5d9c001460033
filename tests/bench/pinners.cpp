// SPDX-License-Identifier: MIT
#include "pinners.hpp"

#include "../guest/support/lease.hpp"
#include "../guest/support/peers.hpp"
#include "figures.hpp"
#include "floor/longpin_floor.h"
#include "vfio_container.hpp"

#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <system_error>
#include <utility>
#include <vector>

namespace bench {

namespace {

/// Most pinners take a call for each range, and want it back by a handle of some kind.
template <typename Handle>
class pinner_of_ranges : public pinner {
public:
    pinner_of_ranges() { handles_.reserve(1024); } // where no time is counted

    int pin(std::span<const iovec> ranges) final {
        for (const iovec& range : ranges) {
            Handle handle{};
            if (const int err = pin_range(range, handle)) {
                unpin();
                return err;
            }
            handles_.push_back(handle);
        }
        return 0;
    }

    void unpin() final {
        for (const Handle& handle : handles_) {
            unpin_range(handle);
        }
        handles_.clear();
    }

private:
    virtual int pin_range(const iovec& range, Handle& handle) = 0;
    virtual void unpin_range(const Handle& handle) = 0;

    std::vector<Handle> handles_;
};

class longpin_pinner final : public pinner_of_ranges<std::uint32_t> {
public:
    explicit longpin_pinner(promise promised)
        : device_(std::make_shared<guest::raw_device>()),
          flags_(promised == promise::revocable ? guest::leased_write : LONGPIN_PIN_WRITE) {}

    explicit longpin_pinner(std::shared_ptr<const guest::raw_device> device)
        : device_(std::move(device)), flags_(LONGPIN_PIN_WRITE) {}

private:
    int pin_range(const iovec& range, std::uint32_t& handle) override {
        longpin_pin answer{};
        const int err = device_->pin(range.iov_base, range.iov_len, flags_, answer);
        handle = answer.out_handle;
        return err;
    }

    void unpin_range(const std::uint32_t& handle) override {
        if (const int err = device_->unpin(handle)) {
            throw std::system_error(err, std::generic_category(), "LONGPIN_UNPIN");
        }
    }

    std::shared_ptr<const guest::raw_device> device_;
    std::uint32_t flags_;
};

/// The handle is the number of pages.
class floor_pinner final : public pinner_of_ranges<std::uint32_t> {
public:
    explicit floor_pinner(promise promised)
        : device_(guest::open_file("/dev/longpin-floor", O_RDWR)),
          longterm_(promised == promise::longterm ? 1 : 0) {}

private:
    int pin_range(const iovec& range, std::uint32_t& pages) override {
        pages = static_cast<std::uint32_t>(range.iov_len / guest::page);
        const longpin_floor_pin pin{reinterpret_cast<std::uintptr_t>(range.iov_base), pages,
                                    longterm_};
        return ::ioctl(device_.get(), LONGPIN_FLOOR_PIN, &pin) == 0 ? 0 : errno;
    }

    void unpin_range(const std::uint32_t& pages) override {
        guest::must(::ioctl(device_.get(), LONGPIN_FLOOR_UNPIN, pages) == 0, "LONGPIN_FLOOR_UNPIN");
    }

    guest::file device_;
    std::uint32_t longterm_;
};

class rdma_pinner final : public pinner_of_ranges<ibv_mr*> {
    int pin_range(const iovec& range, ibv_mr*& region) override {
        region = device_.add_region(range.iov_base, range.iov_len, guest::direction::write);
        return region != nullptr ? 0 : errno;
    }

    void unpin_range(ibv_mr* const& region) override { guest::rdma_peer::remove_region(region); }

    guest::rdma_peer device_;
};

/// All ranges in one call, which is the only way: a second one would have to end the first.
class io_uring_pinner final : public pinner {
public:
    int pin(std::span<const iovec> ranges) override { return ring_.add_buffers(ranges); }
    void unpin() override { ring_.remove_buffers(); }

private:
    guest::io_uring_peer ring_;
};

/// The handle is the range as the device sees it.
class vfio_pinner final : public pinner_of_ranges<io_range> {
    int pin_range(const iovec& range, io_range& mapped) override {
        mapped = {next_, range.iov_len};
        const int err = container_.map(range.iov_base, mapped);
        if (err == 0) {
            next_ += range.iov_len;
        }
        return err;
    }

    void unpin_range(const io_range& mapped) override {
        container_.unmap(mapped);
        next_ = first;
    }

    /// Above what lies below 4 GiB in a PC; aligned for the IOMMU's largest pages.
    static constexpr std::uint64_t first = 4 * guest::GiB;

    vfio_container container_;
    std::uint64_t next_ = first;
};

class mlock_pinner final : public pinner_of_ranges<iovec> {
    int pin_range(const iovec& range, iovec& locked) override {
        locked = range;
        return ::mlock(range.iov_base, range.iov_len) == 0 ? 0 : errno;
    }

    void unpin_range(const iovec& locked) override {
        guest::must(::munlock(locked.iov_base, locked.iov_len) == 0, "munlock");
    }
};

template <typename Pinner>
std::unique_ptr<pinner> make(promise /*promised*/) {
    return std::make_unique<Pinner>();
}

template <typename Pinner>
std::unique_ptr<pinner> make_promising(promise promised) {
    return std::make_unique<Pinner>(promised);
}

constexpr pinner_kind kinds[] = {
    {longpin_name, make_promising<longpin_pinner>},
    {floor_name, make_promising<floor_pinner>},
    {rdma_name, make<rdma_pinner>},
    {io_uring_name, make<io_uring_pinner>},
    {"VFIO", make<vfio_pinner>},
    {"mlock", make<mlock_pinner>},
};

} // namespace

std::span<const pinner_kind> pinner_kinds() {
    return kinds;
}

std::unique_ptr<pinner> make_longpin(std::shared_ptr<const guest::raw_device> device) {
    return std::make_unique<longpin_pinner>(std::move(device));
}

} // namespace bench
