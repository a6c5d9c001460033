// SPDX-License-Identifier: MIT
// The device under a mounted file system on fs-DAX is unbound while a file on it is leased: nobody
// waits for the holder.
#include "support/child.hpp"
#include "support/lease.hpp"
#include "support/shell.hpp"

#include <catch2/catch.hpp>

#include <chrono>
#include <fcntl.h>
#include <filesystem>

using namespace guest;

namespace {

const std::string mount_point = "/tmp/removable";

/// A file system that nothing is written to any more, so that nothing is lost with its device.
class read_only_filesystem {
public:
    read_only_filesystem() {
        const std::string device = backing("removable");
        const run_result prepared =
            shell("mkdir -p " + mount_point + " && pmem-setup format ext4 " + device +
                  " && mount -o dax=always " + device + " " + mount_point +
                  " && dd if=/dev/urandom of=" + mount_point +
                  "/file bs=64k count=1 2>/dev/null && umount " + mount_point +
                  " && mount -o ro,dax=always " + device + " " + mount_point);
        if (prepared.code != 0) {
            throw std::runtime_error(prepared.output);
        }
        namespace fs = std::filesystem;
        name_ =
            fs::read_symlink("/sys/class/block/" + fs::path(device).filename().string() + "/device")
                .filename()
                .string();
    }
    read_only_filesystem(const read_only_filesystem&) = delete;
    read_only_filesystem& operator=(const read_only_filesystem&) = delete;
    read_only_filesystem(read_only_filesystem&&) = delete;
    read_only_filesystem& operator=(read_only_filesystem&&) = delete;
    ~read_only_filesystem() = default;

    /// In a child, since whoever unbinds may wait where only its end helps.
    [[nodiscard]] child unbind() const {
        return child([this] {
            if (write_line("/sys/bus/nd/drivers/nd_pmem/unbind", name_) != 0) {
                throw std::runtime_error("unbind");
            }
        });
    }

private:
    std::string name_;
};

} // namespace

TEST_CASE("device removal: unbinding fs-DAX under a mounted file system revokes its leases",
          "[.removal]") {
    const raw_device device;
    const read_only_filesystem filesystem;
    const dax_file elsewhere("ext4_dax", 4 * page);
    const std::uint32_t other = device.must_pin(elsewhere.memory.data(), 4 * page, leased_write);
    std::uint32_t handle = 0;
    {
        const file data = open_file(mount_point + "/file", O_RDONLY);
        const mapping memory(16 * page, PROT_READ, MAP_SHARED, data.get());
        handle = device.must_pin(memory.data(), 16 * page, leased);
        gate gone;
        child unbinder([&] {
            child inner = filesystem.unbind();
            if (!inner.wait()) {
                throw std::runtime_error("unbind");
            }
            gone.open();
        });
        CHECK(gone.pass_within(10000));
        CHECK(must_query(device, handle).out_pages == 0);
        const auto events = device.events_within(1000);
        REQUIRE(events.size() == 1);
        CHECK(events[0].handle == handle);
        CHECK(events[0].cause == LONGPIN_CAUSE_INVALIDATE);
        CHECK(events[0].length == 16 * page);
        CHECK(device.unpin(handle) == 0);
        CHECK(unbinder.wait());
    }
    CHECK(must_query(device, other).out_pages == 4);
}
