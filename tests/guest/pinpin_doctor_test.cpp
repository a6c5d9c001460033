// SPDX-License-Identifier: MIT
// pinpin doctor on a system with persistent memory, well and ill. What it says mends is done, and
// has to mend.
#include "support/child.hpp"
#include "support/mapping.hpp"
#include "support/module.hpp"
#include "support/shell.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <sys/stat.h>

using namespace guest;
using Catch::Contains;
using nlohmann::json;

namespace {

struct diagnosis {
    int code;
    json findings;

    /// The finding of that check. There has to be one.
    [[nodiscard]] const json& of(const std::string& check) const {
        const auto found = std::ranges::find_if(
            findings, [&](const json& one) { return one.at("check") == check; });
        INFO(check << " is not in " << findings.dump(2));
        REQUIRE(found != findings.end());
        return *found;
    }

    [[nodiscard]] std::string state_of(const std::string& check) const {
        return of(check).at("state").get<std::string>();
    }

    [[nodiscard]] std::string sentence_of(const std::string& check) const {
        return of(check).at("finding").get<std::string>();
    }

    [[nodiscard]] std::string mend_of(const std::string& check) const {
        return of(check).at("mend").get<std::string>();
    }
};

diagnosis diagnosed(const run_result& result) {
    return {result.code, parsed(result)};
}

diagnosis doctor() {
    return diagnosed(pinpin("doctor --json"));
}

diagnosis doctor_of_ordinary_user() {
    return diagnosed(shell_as_ordinary_user("pinpin doctor --json"));
}

/// The mode of the device file, for as long as the object lives.
class device_mode {
public:
    explicit device_mode(mode_t mode, gid_t group = 0) {
        REQUIRE(::chmod("/dev/longpin", mode) == 0);
        REQUIRE(::chown("/dev/longpin", 0, group) == 0);
    }
    device_mode(const device_mode&) = delete;
    device_mode& operator=(const device_mode&) = delete;
    device_mode(device_mode&&) = delete;
    device_mode& operator=(device_mode&&) = delete;
    ~device_mode() {
        ::chmod("/dev/longpin", 0600);
        ::chown("/dev/longpin", 0, 0);
    }
};

} // namespace

TEST_CASE("pinpin doctor finds nothing wrong in this guest as root, and leaves nothing behind",
          "[devdax]") {
    const std::string files = shell("ls -Ra /mnt").output;
    const diagnosis found = doctor();
    INFO(found.findings.dump(2));
    CHECK(found.code == 0);
    CHECK_THAT(found.sentence_of("module"), Contains(read_line("/sys/module/longpin/version")));
    for (const char* const check : {"module", "device", "RLIMIT_MEMLOCK", "max_user_pages",
                                    "max_pages", "max_pins", "netlink", "leases"}) {
        CHECK(found.state_of(check) == "ok");
    }
    CHECK_THAT(found.sentence_of("device"), Contains("the user root (mode 0600"));
    CHECK_THAT(found.sentence_of("netlink"), Contains("of all users"));
    CHECK_THAT(found.sentence_of("leases"), Contains("a grace of at most"));

    for (const char* const name : {"devdax_1g", "devdax_2m", "devdax_4k"}) {
        const std::string device = dax_name(name);
        CHECK(found.state_of(device) == "ok");
        CHECK_THAT(found.sentence_of(device), Contains("allowed (kind of memory: devdax)"));
        CHECK(found.state_of("namespace" + device.substr(sizeof("dax") - 1)) == "ok");
    }
    CHECK_THAT(found.sentence_of(dax_name("devdax_1g")), Contains("first 1 GiB"));
    CHECK_THAT(found.sentence_of(dax_name("devdax_4k")), Contains("first 4 KiB"));
    for (const char* const name : {"xfs_dax", "ext4_dax"}) {
        const std::string directory = backing(name);
        CHECK(found.state_of(directory) == "note");
        CHECK_THAT(found.sentence_of(directory),
                   Contains("/dev/pmem") && Contains("dax=always") && Contains("refused") &&
                       Contains("a lease is allowed (pinpin hold --lease)"));
        CHECK_THAT(found.mend_of(directory), Contains("mount -o dax=never"));
    }
    for (const json& one : found.findings) { // those without DAX
        CHECK(one["check"] != backing("xfs"));
        CHECK(one["check"] != backing("ext4"));
    }
    CHECK(shell("ls -Ra /mnt").output == files);
    CHECK(raw_device().info().out_max_pages_used == 0);

    const run_result text = pinpin("doctor");
    CHECK(text.code == 0);
    CHECK_THAT(text.output, Contains("ok: module: longpin ") && !Contains("problem"));
}

TEST_CASE("pinpin doctor knows how files of a DAX mount become such as may be pinned") {
    const std::string directory = backing("ext4_dax");
    const std::string found = doctor().mend_of(directory);
    const std::string device = found.substr(found.find("/dev/pmem"), sizeof("/dev/pmemX") - 1);
    const auto remount = [&](const std::string& options) {
        return shell("umount " + directory + " && mount " + options + ' ' + device + ' ' +
                     directory)
            .code;
    };
    REQUIRE(shell(found).code == 0);
    REQUIRE(shell("head -c 8192 /dev/zero >" + directory + "/zeros").code == 0);
    CHECK(pinpin("check " + directory + "/zeros").code == 0);
    CHECK(shell("rm " + directory + "/zeros").code == 0);

    // Without an option, each file has its own mode, and new ones are not in DAX mode.
    REQUIRE(remount("") == 0);
    const diagnosis by_file = doctor();
    CHECK(by_file.state_of(directory) == "ok");
    CHECK_THAT(by_file.sentence_of(directory),
               Contains("DAX if a file says so") && Contains("kind of memory: file"));

    REQUIRE(remount("-o dax=always") == 0);
    CHECK(doctor().state_of(directory) == "note");
}

TEST_CASE("pinpin doctor tells an ordinary user who may open the device", "[devdax]") {
    const diagnosis found = doctor_of_ordinary_user();
    CHECK(found.code == 1);
    CHECK(found.state_of("device") == "problem");
    CHECK_THAT(found.sentence_of("device"), Contains("you (user) may not open /dev/longpin"));
    CHECK_THAT(found.mend_of("device"),
               Contains("61-longpin-dma.rules") && Contains("aG dma user"));
    CHECK_THAT(found.sentence_of("netlink"), Contains("of the user user alone"));
    CHECK_THAT(found.sentence_of("RLIMIT_MEMLOCK"), Contains("only the device tells"));
    CHECK_THAT(found.sentence_of(backing("xfs_dax")), Contains("not tried"));
    CHECK_THAT(found.sentence_of(dax_name("devdax_2m")), Contains("not tried"));

    const device_mode group(0660, ordinary_user);
    const diagnosis better = doctor_of_ordinary_user();
    CHECK(better.code == 0);
    CHECK_THAT(better.sentence_of("device"), Contains("the group user and the user root"));
    CHECK_THAT(better.sentence_of(backing("xfs_dax")), Contains("is refused"));
    // The device-DAX devices are still root's.
    CHECK_THAT(better.sentence_of(dax_name("devdax_2m")),
               Contains("not tried") && Contains("Permission denied"));
    CHECK(better.mend_of(dax_name("devdax_2m")) == "sudo pinpin doctor");
}

TEST_CASE("pinpin doctor names the limits that leave nothing") {
    const device_mode all(0666);
    const diagnosis found =
        diagnosed(shell_as_ordinary_user("ulimit -S -l 3; pinpin doctor --json"));
    CHECK(found.code == 1);
    CHECK(found.state_of("RLIMIT_MEMLOCK") == "problem");
    const std::string mend = found.mend_of("RLIMIT_MEMLOCK");
    CHECK(diagnosed(shell_as_ordinary_user("ulimit -S -l 3; " + mend + "; pinpin doctor --json"))
              .state_of("RLIMIT_MEMLOCK") == "ok");

    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    device.must_pin(memory.data(), page);
    const module_parameter cap("max_pages", "1");
    CHECK(doctor().state_of("max_pages") == "problem");
    CHECK(shell(doctor().mend_of("max_pages")).code == 0);
    CHECK(doctor().state_of("max_pages") == "ok");
    const module_parameter pins("max_pins", "0");
    CHECK_THAT(doctor().sentence_of("max_pins"), Contains("one open file has no limit"));
}

TEST_CASE("pinpin doctor loads the module that is not there, and makes its device file") {
    REQUIRE(remove_module() == 0);
    const diagnosis found = doctor();
    CHECK(found.code == 1);
    CHECK(found.state_of("module") == "problem");
    CHECK(found.state_of("device") == "problem");
    CHECK_THAT(found.sentence_of(backing("xfs_dax")), Contains("not tried"));
    CHECK(found.mend_of("module") == "modprobe longpin");
    CHECK(shell(found.mend_of("module")).code == 0);
    CHECK(doctor().code == 0);

    REQUIRE(::unlink("/dev/longpin") == 0);
    CHECK(doctor().code == 1);
    CHECK(shell(doctor().mend_of("device")).code == 0);
    CHECK(doctor().code == 0);
}

TEST_CASE("pinpin doctor notes device-DAX that no driver has, and how to get it back", "[devdax]") {
    const std::string name = dax_name("devdax_4k");
    REQUIRE(write_line(dax_driver + "unbind", name) == 0);
    diagnosis found = doctor();
    CHECK(found.code == 0);
    CHECK(found.state_of(name) == "note");
    CHECK_THAT(found.sentence_of(name), Contains("disabled"));
    CHECK(shell(found.mend_of(name)).code == 0);
    CHECK(doctor().state_of(name) == "ok");

    const std::string space = "namespace" + name.substr(sizeof("dax") - 1);
    REQUIRE(shell("ndctl disable-namespace " + space).code == 0);
    found = doctor();
    CHECK(found.code == 0);
    CHECK_THAT(found.sentence_of(space), Contains("disabled"));
    CHECK(shell(found.mend_of(space)).code == 0);
    CHECK(doctor().state_of(name) == "ok");
}

TEST_CASE("pinpin doctor does not try a mount that it can't write to") {
    const std::string directory = backing("ext4_dax");
    REQUIRE(shell("mount -o remount,ro " + directory).code == 0);
    const diagnosis found = doctor();
    CHECK(shell("mount -o remount,rw " + directory).code == 0);
    CHECK(found.state_of(directory) == "note");
    CHECK_THAT(found.sentence_of(directory), Contains("not tried") && Contains("Read-only"));
    CHECK(found.code == 0);
}
