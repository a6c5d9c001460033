// SPDX-License-Identifier: MIT
#include <longpin/generation.hpp>

#include "explain.hpp"
#include "open_file.hpp"

#include <cerrno>
#include <utility>

#include <linux/longpin.h>
#include <sys/mman.h>
#include <unistd.h>

namespace longpin {

namespace {

std::size_t page_size() noexcept {
    return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

void unmap(const std::uint64_t* page) noexcept {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): it takes no other
    ::munmap(const_cast<std::uint64_t*>(page), page_size());
}

// A page of which the first word is not 0, and 0 in every child.
std::uint64_t* map_mark() noexcept {
    void* const page =
        ::mmap(nullptr, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) { // NOLINT: a macro of the system
        return nullptr;
    }
    auto* const word = static_cast<std::uint64_t*>(page);
    if (::madvise(page, page_size(), MADV_WIPEONFORK) != 0) {
        const int failed = errno;
        unmap(word);
        errno = failed;
        return nullptr;
    }
    *word = 1;
    return word;
}

} // namespace

generation::generation(const device& of) : generation(try_make(of).value()) {}

generation::generation(const std::uint64_t* here, const std::uint64_t* status) noexcept
    : here_(here), status_(status) {}

result<generation> generation::try_make(const device& of) {
    const int descriptor = of.file().descriptor();
    const auto failure = [](int errno_value) {
        return error(errno_value, "map the generation of leases",
                     detail::explain_generation(errno_value));
    };
    const std::uint64_t* const here = map_mark();
    if (here == nullptr) {
        return failure(errno);
    }
    void* const status = detail::module_calls.map(descriptor, page_size());
    if (status == MAP_FAILED) { // NOLINT: a macro of the system
        const int failed = errno;
        unmap(here);
        return failure(failed);
    }
    static_assert(offsetof(longpin_status, generation) == 0);
    return generation(here, static_cast<const std::uint64_t*>(status));
}

generation::generation(generation&& other) noexcept
    : here_(std::exchange(other.here_, nullptr)), status_(other.status_) {}

generation& generation::operator=(generation&& other) noexcept {
    if (this != &other) {
        const generation ended = std::move(*this);
        here_ = std::exchange(other.here_, nullptr);
        status_ = other.status_;
    }
    return *this;
}

generation::~generation() {
    if (here_ != nullptr) {
        if (!inherited()) { // else something else may be there
            unmap(status_);
        }
        unmap(here_);
    }
}

} // namespace longpin
