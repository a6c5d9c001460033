// SPDX-License-Identifier: MIT
// Memory with a protection key, by which a thread may be kept from touching it: it is pinned for
// reading where this thread's loads work, and for writing where its stores do.
#include "support/child.hpp"
#include "support/held.hpp"
#include "support/mapping.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <cstring>
#include <functional>
#include <memory>
#include <sys/mman.h>

using namespace guest;

namespace {

constexpr std::size_t length = 8 * page;
constexpr int both = PROT_READ | PROT_WRITE;

/// A key, and what this thread may do with it as long as the object lives.
class key {
public:
    key() : number_(::pkey_alloc(0, 0)) { must(number_ >= 0, "pkey_alloc"); }
    key(const key&) = delete;
    key& operator=(const key&) = delete;
    key(key&&) = delete;
    key& operator=(key&&) = delete;
    ~key() {
        allow(0);
        ::pkey_free(number_);
    }

    void lock(const mapping& memory, int protection) const {
        must(::pkey_mprotect(memory.data(), memory.length(), protection, number_) == 0,
             "pkey_mprotect");
    }
    void allow(unsigned rights) const { ::pkey_set(number_, rights); }

private:
    int number_;
};

sigjmp_buf out; // NOLINT: of a signal handler

/// Whether an access works: it may end in SIGSEGV.
bool works(const std::function<void()>& access) {
    struct sigaction action {};
    struct sigaction before {};
    action.sa_handler = [](int /*signal*/) { ::siglongjmp(out, 1); };
    must(::sigaction(SIGSEGV, &action, &before) == 0, "sigaction");
    const bool good = sigsetjmp(out, 1) == 0;
    if (good) {
        access();
    }
    ::sigaction(SIGSEGV, &before, nullptr);
    return good;
}

struct kind {
    const char* name;
    long protection;
    mapping (*map)();
    bool shared_with_child = false;
};

mapping map_file(int flags, int protection) {
    const file data = temporary_file(backing("ext4"), length);
    const mapping writer(length, both, MAP_SHARED, data.get());
    writer.fill();
    return {length, protection, flags, data.get()};
}

const kind kinds[] = {
    {"anonymous, not touched", both, [] { return mapping::anonymous(length); }},
    {"anonymous, only read so far", both,
     [] {
         mapping memory = mapping::anonymous(length);
         for (std::size_t at = 0; at < length; at += page) {
             (void)*static_cast<volatile std::byte*>(memory.at(at));
         }
         return memory;
     }},
    {"anonymous, touched", both,
     [] {
         mapping memory = mapping::anonymous(length);
         memory.fill();
         return memory;
     }},
    {"anonymous, shared with a child", both,
     [] {
         mapping memory = mapping::anonymous(length);
         memory.fill();
         return memory;
     },
     true},
    {"anonymous, read-only", PROT_READ,
     [] {
         mapping memory = mapping::anonymous(length);
         memory.fill();
         return memory;
     }},
    {"private mapping of a file", both, [] { return map_file(MAP_PRIVATE, both); }},
    {"private read-only mapping of a file", PROT_READ,
     [] { return map_file(MAP_PRIVATE, PROT_READ); }},
    {"shared anonymous", both, [] { return mapping::shared_anonymous(length); }},
    {"hugetlb, private, not touched", both,
     [] { return mapping(2 * MiB, both, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB); }},
};

} // namespace

TEST_CASE("protection keys: what this thread can load and store is what it can pin") {
    const kind& memory_kind = GENERATE(from_range(std::begin(kinds), std::end(kinds)));
    const unsigned rights =
        GENERATE(0U, unsigned{PKEY_DISABLE_WRITE}, unsigned{PKEY_DISABLE_ACCESS});
    const std::uint32_t lease = GENERATE(0U, LONGPIN_PIN_LEASE);
    CAPTURE(memory_kind.name, rights, lease);
    const bool leasable = std::strstr(memory_kind.name, "of a file") == nullptr;

    const raw_device device;
    const key guard;
    for (const std::uint32_t write : {0U, LONGPIN_PIN_WRITE}) {
        CAPTURE(write);
        const mapping memory = memory_kind.map(); // of which nothing but the pin touches anything
        gate over;
        std::unique_ptr<child> sharing;
        if (memory_kind.shared_with_child) {
            sharing = std::make_unique<child>([&] { over.pass(); });
        }
        guard.lock(memory, int(memory_kind.protection));
        guard.allow(rights);
        longpin_pin pin{};
        const int err = device.pin(memory.data(), memory.length(), write | lease, pin);
        const bool may = works([&] {
            volatile std::byte* const at = memory.at(page);
            const std::byte now = *at;
            if (write) {
                *at = now;
            }
        });
        guard.allow(0);
        if (lease && !leasable) {
            CHECK(err == EOPNOTSUPP);
            CHECK(pin.out_reason == LONGPIN_REASON_LEASE_MEMORY);
        } else if (may) {
            CHECK(err == 0);
            if (err == 0) {
                memory.protect(both); // keeps the key
                check_coherent(device, pin.out_handle, memory, length);
            }
        } else {
            CHECK(err == EFAULT);
            CHECK(pin.out_reason ==
                  (write ? LONGPIN_REASON_NOT_WRITABLE : LONGPIN_REASON_NOT_READABLE));
            CHECK(pin.out_bad_addr == reinterpret_cast<std::uintptr_t>(memory.data()));
        }
    }
}

TEST_CASE("protection keys: a dry run answers as the call") {
    const raw_device device;
    const key guard;
    const mapping memory = mapping::anonymous(length);
    memory.fill();
    guard.lock(memory, both);
    for (const unsigned rights :
         {0U, unsigned{PKEY_DISABLE_WRITE}, unsigned{PKEY_DISABLE_ACCESS}}) {
        for (const std::uint32_t write : {0U, LONGPIN_PIN_WRITE}) {
            guard.allow(rights);
            longpin_pin dry{};
            longpin_pin real{};
            const int dry_err = device.pin(memory.data(), length, write | LONGPIN_PIN_DRY_RUN, dry);
            const int real_err = device.pin(memory.data(), length, write, real);
            guard.allow(0);
            CHECK(dry_err == real_err);
            CHECK(dry.out_reason == real.out_reason);
        }
    }
}
