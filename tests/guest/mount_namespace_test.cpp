// SPDX-License-Identifier: MIT
// Mount namespaces: a path is what the process that pinned saw, whoever reads it; which file it is,
// device and inode tell, which are the same everywhere.
#include "support/child.hpp"
#include "support/mapping.hpp"
#include "support/netlink.hpp"

#include <longpin/longpin.hpp>

#include <catch2/catch.hpp>

#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <sched.h>
#include <string>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

using namespace guest;

namespace {

/// A namespace of its own, in which a file system that nobody else has is the root.
void enter_container(const std::string& root) {
    must(::unshare(CLONE_NEWNS) == 0, "unshare");
    must(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "mount");
    must(::mkdir(root.c_str(), 0700) == 0 || errno == EEXIST, "mkdir");
    must(::mount("inside", root.c_str(), "tmpfs", 0, nullptr) == 0, "mount");
    must(::chroot(root.c_str()) == 0 && ::chdir("/") == 0, "chroot");
}

struct seen_file {
    std::uint32_t major, minor;
    std::uint64_t inode;
};

} // namespace

TEST_CASE("mount namespaces: a file is named as the process saw it, and known by its inode") {
    const raw_device device;
    const mapping result = mapping::shared_anonymous(sizeof(seen_file));
    gate pinned;
    gate end;
    child container([&] {
        enter_container("/tmp/container");
        const file data = open_file("/data", O_RDWR | O_CREAT);
        must(::ftruncate(data.get(), 4 * page) == 0, "ftruncate");
        const mapping memory(4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
        device.must_pin(memory.data(), 4 * page);
        struct stat status {};
        must(::fstat(data.get(), &status) == 0, "fstat");
        *result.as<seen_file>() = {major(status.st_dev), minor(status.st_dev), status.st_ino};
        pinned.open();
        end.pass();
    });
    REQUIRE(pinned.pass_within(20000));
    const auto inside = *result.as<seen_file>();

    const auto pins = longpin::inventory().pins({.context = context_of(device)});
    REQUIRE(pins.size() == 1);
    REQUIRE(pins[0].file);
    CHECK(pins[0].file->path == "/data");
    CHECK(pins[0].file->device_major == inside.major);
    CHECK(pins[0].file->device_minor == inside.minor);
    CHECK(pins[0].file->inode == inside.inode);
    end.open();
    CHECK(container.wait());
}

TEST_CASE("mount namespaces: the kernel's answers don't depend on what a container has mounted") {
    // Neither /proc, nor /sys, nor a file of longpin's is there: all that is known comes by
    // netlink.
    const raw_device device;
    const mapping memory = mapping::anonymous(2 * page);
    device.must_pin(memory.data(), 2 * page);
    const std::uint64_t context = context_of(device);
    const std::uint64_t pages = in_child([&] {
        enter_container("/tmp/container");
        std::uint64_t held = 0;
        for (const auto& pin : longpin::inventory().pins({.context = context})) {
            held += pin.footprint.pages;
        }
        return held;
    });
    CHECK(pages == 2);
}
