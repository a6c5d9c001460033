// SPDX-License-Identifier: MIT
// What pinpin doctor sees in a system of files, and what it concludes from facts.
#include "cli.hpp"
#include "doctor_facts.hpp"
#include "doctor_findings.hpp"
#include "fake_kernel.hpp"
#include "output.hpp"

#include <longpin/version.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using pinpin::facts;
using pinpin::finding;
using pinpin::severity;

namespace {

/// A system where everything is well.
facts healthy() {
    facts seen;
    seen.module = {.kernel = "6.1.0",
                   .loaded = true,
                   .version = std::string(longpin::version()),
                   .installed = true};
    seen.caller = {.name = "alice", .groups = {"alice"}, .sees_all = true};
    seen.node = {.path = "/dev/longpin",
                 .exists = true,
                 .mode = S_IFCHR | 0600,
                 .owner = "root",
                 .group = "root",
                 .number = "10:124"};
    seen.node.info = longpin::device_info{.version = std::string(longpin::version()),
                                          .page_size = 4096,
                                          .pin_flags = LONGPIN_PIN_WRITE | LONGPIN_PIN_DRY_RUN |
                                                       LONGPIN_PIN_LEASE | LONGPIN_PIN_EVENTFD,
                                          .memlock = {.used = 4096, .limit = 1U << 20U},
                                          .pins = {.used = 0, .limit = 100},
                                          .leases = true,
                                          .max_grace = std::chrono::seconds(10)};
    return seen;
}

/// As healthy(), but the device can't be opened.
facts shut(int errno_value) {
    facts seen = healthy();
    seen.node.info.reset();
    seen.node.failure = longpin::error(errno_value, "open /dev/longpin", "of that");
    return seen;
}

longpin::error refusal(longpin::reason why) {
    return {EOPNOTSUPP, "pin 4 KiB", "of the reason", {.why = why}};
}

/// The finding of that check. There has to be one.
finding of(const std::string& check, const facts& seen) {
    const std::vector<finding> all = examine(seen);
    const auto found = std::ranges::find(all, check, &finding::check);
    REQUIRE(found != all.end());
    return *found;
}

/// A system of files below a temporary directory.
class fake_system {
public:
    fake_system() : root_(fs::temp_directory_path() / ("longpin-doctor-XXXXXX")) {
        std::string name = root_;
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        root_ = name;
    }
    ~fake_system() { fs::remove_all(root_); }
    fake_system(const fake_system&) = delete;
    fake_system& operator=(const fake_system&) = delete;
    fake_system(fake_system&&) = delete;
    fake_system& operator=(fake_system&&) = delete;

    [[nodiscard]] const fs::path& root() const { return root_; }

    void write(const fs::path& path, const std::string& text) const {
        fs::create_directories((root_ / path).parent_path());
        std::ofstream(root_ / path) << text;
    }

    void link(const fs::path& path, const fs::path& target) const {
        fs::create_directories((root_ / path).parent_path());
        fs::create_symlink(target, root_ / path);
    }

    void make_directory(const fs::path& path) const { fs::create_directories(root_ / path); }

    [[nodiscard]] facts gather() const { return pinpin::gather("/dev/longpin", root_); }

private:
    fs::path root_;
};

std::string kernel_release() {
    struct utsname system {};
    ::uname(&system);
    return system.release;
}

/// How mountinfo names the file system of a directory.
std::string device_of(const fs::path& directory) {
    struct stat status {};
    REQUIRE(::stat(directory.c_str(), &status) == 0);
    return std::to_string(major(status.st_dev)) + ':' + std::to_string(minor(status.st_dev));
}

} // namespace

TEST_CASE("doctor finds no problem where everything is well") {
    for (const finding& one : examine(healthy())) {
        INFO(one.check << ": " << one.sentence);
        CHECK(one.state == severity::ok);
        CHECK(!one.mend);
    }
    CHECK_THAT(of("module", healthy()).sentence, Contains(std::string(longpin::version())));
    CHECK_THAT(of("RLIMIT_MEMLOCK", healthy()).sentence, Contains("left 1020 KiB"));
    CHECK_THAT(of("persistent memory", healthy()).sentence, Contains("none"));
}

TEST_CASE("doctor tells a module that is not loaded from one that is not installed") {
    facts seen = shut(ENOENT);
    seen.node.exists = false;
    seen.module.loaded = false;
    seen.family.failure = longpin::error(ENOENT, "find the family", "of that");
    CHECK(of("module", seen).state == severity::problem);
    CHECK(of("module", seen).mend == "modprobe longpin");
    CHECK(of("device", seen).state == severity::problem);
    CHECK(of("device", seen).mend == "modprobe longpin");
    CHECK(of("netlink", seen).state == severity::note);

    seen.module.installed = false;
    CHECK_THAT(of("module", seen).sentence, Contains("6.1.0"));
    CHECK_THAT(*of("module", seen).mend, Contains("modules_install KDIR=/lib/modules/6.1.0/build"));

    seen.module.in_dkms = true;
    CHECK(of("module", seen).mend ==
          "apt install linux-headers-6.1.0 && dkms autoinstall && modprobe longpin");
}

TEST_CASE("doctor tells what Secure Boot asks for, unless the module is loaded") {
    facts seen = shut(ENOENT);
    seen.module.loaded = false;
    seen.module.secure_boot = true;
    CHECK(of("Secure Boot", seen).state == severity::note);
    CHECK(of("Secure Boot", seen).mend == "mokutil --import /var/lib/dkms/mok.pub");

    const auto speaks_of_it = [](const facts& all) {
        return std::ranges::count(examine(all), "Secure Boot", &finding::check) != 0;
    };
    seen.module.secure_boot = false;
    CHECK(!speaks_of_it(seen));
    seen = healthy();
    seen.module.secure_boot = true;
    CHECK(!speaks_of_it(seen));
}

TEST_CASE("doctor notes a module of another version than its own") {
    facts seen = healthy();
    seen.module.version = "0.0.1";
    const finding found = of("module", seen);
    CHECK(found.state == severity::note);
    CHECK_THAT(found.sentence, Contains("0.0.1") && Contains(std::string(longpin::version())));
    CHECK(found.mend == "rmmod longpin && modprobe longpin");
}

TEST_CASE("doctor makes the device file where only that is missing") {
    facts seen = shut(ENOENT);
    seen.node.exists = false;
    CHECK(of("device", seen).mend == "mknod -m 0600 /dev/longpin c 10 124");
}

TEST_CASE("doctor says who may open the device, and how to become one of them") {
    facts seen = shut(EACCES);
    SECTION("nobody but root: by a rule of udev") {
        CHECK_THAT(of("device", seen).sentence,
                   Contains("you (alice) may not") && Contains("the user root (mode 0600"));
        CHECK_THAT(*of("device", seen).mend,
                   Contains("61-longpin-dma.rules") && Contains("usermod -aG dma alice"));
    }
    SECTION("a group that the user is not in") {
        seen.node.mode = S_IFCHR | 0660;
        seen.node.group = "video";
        CHECK_THAT(of("device", seen).sentence, Contains("the group video"));
        CHECK_THAT(*of("device", seen).mend, Contains("usermod -aG video alice"));
        CHECK_THAT(*of("device", seen).mend, !Contains("udev"));
    }
    SECTION("a group that the user is in since after the login") {
        seen.node.mode = S_IFCHR | 0660;
        seen.node.group = "video";
        seen.node.caller_is_listed = true;
        CHECK(of("device", seen).mend == "newgrp video");
    }
    CHECK(of("device", seen).state == severity::problem);
    // What can't be known then is no second problem.
    CHECK(of("RLIMIT_MEMLOCK", seen).state == severity::note);
    CHECK(of("leases", seen).state == severity::note);
}

TEST_CASE("doctor tells who may open the device beside the caller") {
    facts seen = healthy();
    seen.node.mode = S_IFCHR | 0666;
    CHECK_THAT(of("device", seen).sentence, Contains("it is for everybody"));
    seen.node.mode = S_IFCHR | 0660;
    seen.node.group = "dma";
    CHECK_THAT(of("device", seen).sentence, Contains("the group dma and the user root"));
}

TEST_CASE("doctor calls a limit that is used up a problem") {
    facts seen = healthy();
    SECTION("RLIMIT_MEMLOCK, which the user may raise") {
        seen.node.info->memlock = {.used = 1U << 20U, .limit = 1U << 20U};
        seen.caller.memlock_soft = 1U << 20U;
        CHECK_THAT(of("RLIMIT_MEMLOCK", seen).sentence, Contains("left 0 B"));
        CHECK(of("RLIMIT_MEMLOCK", seen).state == severity::problem);
        CHECK(of("RLIMIT_MEMLOCK", seen).mend == "ulimit -S -l $(ulimit -H -l)");
        seen.caller.memlock_hard = 1U << 20U;
        CHECK_THAT(*of("RLIMIT_MEMLOCK", seen).mend,
                   Contains("echo 'alice - memlock unlimited' >>/etc/security/limits.d/"));
    }
    SECTION("the parameters of the module") {
        seen.node.info->user_pinned = {.used = 8192, .limit = 8192};
        seen.node.info->pinned = {.used = 16384, .limit = 12288}; // lowered meanwhile
        seen.node.info->pins = {.used = 0, .limit = 0};
        for (const char* const parameter : {"max_user_pages", "max_pages", "max_pins"}) {
            CHECK(of(parameter, seen).state == severity::problem);
            CHECK_THAT(*of(parameter, seen).mend,
                       Contains(std::string("/sys/module/longpin/parameters/") + parameter));
        }
    }
    SECTION("less than a page is nothing") {
        seen.node.info->memlock = {.used = (1U << 20U) - 4095, .limit = 1U << 20U};
        CHECK(of("RLIMIT_MEMLOCK", seen).state == severity::problem);
    }
}

TEST_CASE("doctor tells whose pins the caller may see") {
    facts seen = healthy();
    seen.family.pins_seen = 3;
    seen.family.pins_held = 5;
    CHECK_THAT(of("netlink", seen).sentence, Contains("of all users: 3 now"));
    seen.caller.sees_all = false;
    CHECK_THAT(of("netlink", seen).sentence, Contains("of the user alice alone: 3 of 5 now"));
    CHECK(of("netlink", seen).state == severity::note);
    CHECK(of("netlink", seen).mend == "sudo pinpin list");

    seen.family.failure = longpin::error(ENOENT, "find the family", "of that");
    CHECK(of("netlink", seen).state == severity::problem);
    CHECK_THAT(of("netlink", seen).sentence, Contains("older"));
    seen.family.failure = longpin::error(EMFILE, "open a socket", "of that");
    CHECK_THAT(of("netlink", seen).sentence, Contains("cannot open a socket"));
}

TEST_CASE("doctor tells whether there are leases, which is no fault if not") {
    facts seen = healthy();
    CHECK_THAT(of("leases", seen).sentence, Contains("at most 10000 ms") && !Contains("none"));
    seen.node.info->leases = false;
    CHECK(of("leases", seen).state == severity::note);
    CHECK_THAT(of("leases", seen).sentence, Contains("none") && Contains("kernel 6.1.0"));
}

TEST_CASE("doctor tells what namespaces are good for") {
    facts seen = healthy();
    seen.namespaces = {{.name = "namespace0.0",
                        .mode = "dax",
                        .size = 1U << 20U,
                        .bound = true,
                        .devices = {"dax0.0"}},
                       {.name = "namespace1.0",
                        .mode = "memory",
                        .size = 1U << 20U,
                        .bound = true,
                        .devices = {"pmem1"}},
                       {.name = "namespace2.0",
                        .mode = "raw",
                        .size = 1U << 20U,
                        .bound = true,
                        .devices = {"pmem2"}},
                       {.name = "namespace3.0", .mode = "raw", .size = 1U << 20U}};
    CHECK(of("namespace0.0", seen).state == severity::ok);
    CHECK_THAT(of("namespace0.0", seen).sentence, Contains("1 MiB") && Contains("dax0.0"));

    CHECK(of("namespace1.0", seen).state == severity::note);
    CHECK_THAT(of("namespace1.0", seen).sentence, Contains("not mounted") && Contains("not tried"));
    CHECK(of("namespace1.0", seen).mend == "mount -o dax /dev/pmem1 /mnt");
    seen.mounted = {"/dev/pmem10"};
    CHECK(of("namespace1.0", seen).state == severity::note);
    for (const char* const source : {"/dev/pmem1", "/dev/pmem1p2"}) {
        seen.mounted = {source};
        CHECK(of("namespace1.0", seen).state == severity::ok);
    }

    CHECK_THAT(of("namespace2.0", seen).sentence, Contains("raw"));
    CHECK_THAT(*of("namespace2.0", seen).mend, Contains("-m devdax -e namespace2.0"));
    CHECK(of("namespace3.0", seen).mend == "ndctl enable-namespace namespace3.0");
}

TEST_CASE("doctor passes on what dry runs of device-DAX say") {
    facts seen = healthy();
    pinpin::dax_facts device{
        .name = "dax0.0", .size = 64U << 20U, .alignment = 2U << 20U, .driver = "device_dax"};
    const auto find = [&] {
        seen.dax_devices = {device};
        return of("dax0.0", seen);
    };
    SECTION("allowed") {
        device.tried.allowed = longpin::memory_kind::devdax;
        CHECK(find().state == severity::ok);
        CHECK_THAT(find().sentence, Contains("first 2 MiB is allowed") && Contains("devdax"));
    }
    SECTION("refused") {
        device.tried.refused = refusal(longpin::reason::device_gone);
        CHECK(find().state == severity::problem);
        CHECK_THAT(find().sentence, Contains("is refused: of the reason"));
        device.tried.refused = refusal(longpin::reason::memlock);
        CHECK_THAT(*find().mend, Contains("memlock") || Contains("ulimit"));
    }
    SECTION("not tried") {
        device.tried.obstacle = "cannot open it";
        CHECK(find().state == severity::note);
        CHECK_THAT(find().sentence, Contains("not tried: cannot open it"));
        CHECK(!find().mend);
        device.tried.needs_rights = true;
        CHECK(find().mend == "sudo pinpin doctor");
    }
    SECTION("of no driver, or of another one") {
        device.driver = "";
        CHECK(find().state == severity::note);
        CHECK(find().mend == "daxctl enable-device dax0.0");
        device.driver = "kmem";
        CHECK_THAT(*find().mend, Contains("reconfigure-device") && Contains("devdax"));
    }
}

TEST_CASE("doctor notes the refusal of fs-DAX, which is no fault") {
    facts seen = healthy();
    seen.dax_mounts = {
        {.directory = "/mnt/pmem", .type = "xfs", .source = "/dev/pmem0", .option = "dax=always"}};
    seen.dax_mounts.front().tried.refused = refusal(longpin::reason::fsdax);
    const finding refused = of("/mnt/pmem", seen);
    CHECK(refused.state == severity::note);
    CHECK_THAT(refused.sentence, Contains("xfs on /dev/pmem0 with dax=always") &&
                                     Contains("is refused") && Contains("take them back") &&
                                     !Contains("--lease"));
    CHECK(refused.mend == "umount /mnt/pmem && mount -o dax=never /dev/pmem0 /mnt/pmem");

    seen.dax_mounts.front().tried.leased = true;
    CHECK_THAT(of("/mnt/pmem", seen).sentence,
               Contains("a lease is allowed (pinpin hold --lease)"));
    seen.dax_mounts.front().tried = {.allowed = longpin::memory_kind::file};
    CHECK(of("/mnt/pmem", seen).state == severity::ok);
    seen.dax_mounts.front().tried = {.obstacle = "it is read-only"};
    CHECK_THAT(of("/mnt/pmem", seen).sentence, Contains("not tried: it is read-only"));
}

TEST_CASE("doctor sees whether the module is loaded and installed") {
    const fake_kernel kernel;
    const fake_system system;
    CHECK(!system.gather().module.loaded);
    CHECK(!system.gather().module.installed);
    CHECK(system.gather().node.failure->code().value() == ENOENT);

    const std::string dependencies = "lib/modules/" + kernel_release() + "/modules.dep";
    system.write(dependencies, "extra/notlongpin.ko: extra/longpin.ko\n");
    CHECK(!system.gather().module.installed);
    for (const char* const line : {"extra/longpin.ko:\n", "extra/longpin.ko.xz: kernel/a.ko\n"}) {
        system.write(dependencies, std::string("kernel/a.ko:\n") + line);
        CHECK(system.gather().module.installed);
    }
    CHECK(!system.gather().module.in_dkms);
    system.make_directory("var/lib/dkms/longpin/1.2.3");
    CHECK(system.gather().module.in_dkms);
    system.write("sys/module/longpin/version", "1.2.3\n");
    CHECK(system.gather().module.loaded);
    CHECK(system.gather().module.version == "1.2.3");
}

TEST_CASE("doctor sees whether Secure Boot is on") {
    using namespace std::string_literals;
    const fake_kernel kernel;
    const fake_system system;
    CHECK(!system.gather().module.secure_boot);
    const fs::path variable =
        "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    system.write(variable, "\6\0\0\0\0"s);
    CHECK(!system.gather().module.secure_boot);
    system.write(variable, "\6\0\0\0\1"s);
    CHECK(system.gather().module.secure_boot);
}

TEST_CASE("doctor asks the device for its limits") {
    const fake_kernel kernel;
    const fake_system system;
    system.write("dev/longpin", "");
    system.write("sys/class/misc/longpin/dev", "10:124\n");
    fs::permissions(system.root() / "dev/longpin", fs::perms(0640));
    const facts seen = system.gather();
    CHECK(seen.node.exists);
    CHECK((seen.node.mode & 07777U) == 0640);
    CHECK(seen.node.number == "10:124");
    REQUIRE(seen.node.info);
    CHECK(seen.node.info->memlock.limit == kernel.info.out_memlock_limit);
}

TEST_CASE("doctor sees namespaces by what has them") {
    const fake_kernel kernel;
    const fake_system system;
    const fs::path bus = "sys/bus/nd/devices";
    const auto make = [&](const fs::path& name, const char* mode, const char* size,
                          const char* holder) {
        system.write(bus / name / "mode", mode);
        system.write(bus / name / "size", size);
        system.write(bus / name / "holder", holder);
    };
    make("namespace10.0", "dax\n", "1048576\n", "dax10.0\n");
    make("namespace2.0", "memory\n", "2097152\n", "pfn2.0\n");
    make("namespace2.1", "raw\n", "0\n", "\n");
    make("namespace3.0", "raw\n", "4096\n", "\n");
    make("namespace4.0", "raw\n", "4096\n", "\n");
    system.make_directory(bus / "dax10.0/dax10.0");
    system.make_directory(bus / "dax10.0/dax_region");
    system.link(bus / "dax10.0/driver", "../../drivers/dax_pmem");
    system.make_directory(bus / "pfn2.0/block/pmem2");
    system.link(bus / "pfn2.0/driver", "../../drivers/nd_pmem");
    system.make_directory(bus / "namespace3.0/block/pmem3");
    system.link(bus / "namespace3.0/driver", "../../drivers/nd_pmem");

    const auto found = system.gather().namespaces;
    REQUIRE(found.size() == 4); // 2.1 is empty
    CHECK(found[0].name == "namespace2.0");
    CHECK(found[0].mode == "memory");
    CHECK(found[0].size == 2U << 20U);
    CHECK(found[0].bound);
    CHECK(found[0].devices == std::vector<std::string>{"pmem2"});
    CHECK(found[1].devices == std::vector<std::string>{"pmem3"});
    CHECK(found[1].bound);
    CHECK(found[2].name == "namespace4.0");
    CHECK(!found[2].bound);
    CHECK(found[3].name == "namespace10.0");
    CHECK(found[3].bound);
    CHECK(found[3].devices == std::vector<std::string>{"dax10.0"});
}

TEST_CASE("doctor makes a dry run of the first bytes of a device-DAX device") {
    fake_kernel kernel;
    const fake_system system;
    system.write("dev/longpin", "");
    system.write("dev/dax0.0", std::string(65536, 'x'));
    const fs::path bus = "sys/bus/dax/devices";
    for (const char* const name : {"dax0.0", "dax1.0", "dax2.0"}) {
        system.write(bus / name / "size", "65536\n");
        system.write(bus / name / "align", "8192\n");
    }
    for (const char* const name : {"dax0.0", "dax2.0"}) {
        system.link(bus / name / "driver", "../../../../bus/dax/drivers/device_dax");
    }

    const auto found = system.gather().dax_devices;
    REQUIRE(found.size() == 3);
    CHECK(found[0].driver == "device_dax");
    CHECK(found[0].tried.allowed);
    CHECK(kernel.last_pin.length == 8192);
    CHECK(kernel.last_pin.flags == LONGPIN_PIN_DRY_RUN);
    CHECK(kernel.count(LONGPIN_PIN) == 1);
    CHECK(found[1].driver.empty());
    CHECK_THAT(found[2].tried.obstacle, Contains("dax2.0: No such file"));

    kernel.fail(LONGPIN_PIN, EOPNOTSUPP, {.why = longpin::reason::device_gone});
    CHECK(system.gather().dax_devices[0].tried.refused->reason() == longpin::reason::device_gone);
    kernel.fail(LONGPIN_PIN, EAGAIN);
    CHECK_THAT(system.gather().dax_devices[0].tried.obstacle, Contains("try again"));
    fs::remove(system.root() / "dev/longpin");
    CHECK_THAT(system.gather().dax_devices[0].tried.obstacle, Contains("can't be asked"));
}

TEST_CASE("doctor makes a dry run of a temporary file on a DAX mount, and leaves none behind") {
    fake_kernel kernel;
    const fake_system system;
    system.write("dev/longpin", "");
    for (const char* const name : {"mnt/one", "mnt/two words", "mnt/other", "mnt/never"}) {
        system.make_directory(name);
    }
    const std::string device = device_of(system.root() / "mnt/one");
    system.write("sys/dev/block/259:7/queue/dax", "1\n");
    system.write("sys/dev/block/259:8/queue/dax", "0\n");
    system.write("proc/self/mountinfo",
                 "20 1 0:21 / /proc rw,relatime - proc proc rw\n"
                 "33 1 " +
                     device +
                     " / /mnt/two\\040words rw shared:1 - xfs /dev/pmem0 rw,dax=always\n"
                     "34 1 " +
                     device +
                     " / /mnt/one rw - xfs /dev/pmem0 rw,dax=always\n"
                     "35 1 259:9 / /mnt/never rw - xfs /dev/pmem9 rw,dax=never,noquota\n"
                     "36 1 259:7 / /mnt/other rw - ext4 /dev/pmem7 rw\n"
                     "37 1 259:8 / /mnt/other rw - ext4 /dev/sda1 rw\n");
    kernel.fail(LONGPIN_PIN, EOPNOTSUPP, {.why = longpin::reason::fsdax});
    CHECK_FALSE(system.gather().dax_mounts[0].tried.leased);
    kernel.while_pinning = [&](const longpin_pin&) { kernel.fail(LONGPIN_PIN, 0); };
    CHECK(system.gather().dax_mounts[0].tried.leased); // refused, but for the lease
    CHECK(kernel.last_pin.flags == (LONGPIN_PIN_DRY_RUN | LONGPIN_PIN_LEASE));
    kernel.while_pinning = {};
    kernel.fail(LONGPIN_PIN, EOPNOTSUPP, {.why = longpin::reason::fsdax});

    const facts seen = system.gather();
    CHECK(seen.mounted.size() == 6);
    REQUIRE(seen.dax_mounts.size() == 2);
    CHECK(seen.dax_mounts[0].directory == "/mnt/two words");
    CHECK(seen.dax_mounts[0].source == "/dev/pmem0");
    CHECK(seen.dax_mounts[0].option == "dax=always");
    CHECK(seen.dax_mounts[0].tried.refused->reason() == longpin::reason::fsdax);
    CHECK(fs::is_empty(system.root() / "mnt/two words"));
    CHECK(seen.dax_mounts[1].directory == "/mnt/other");
    CHECK(seen.dax_mounts[1].option.empty());
    CHECK_THAT(seen.dax_mounts[1].tried.obstacle, Contains("another mount hides it"));

    fs::remove(system.root() / "mnt/two words");
    CHECK_THAT(system.gather().dax_mounts[0].tried.obstacle, Contains("No such file"));
}

TEST_CASE("doctor prints each finding as a sentence or an object, and exits by the worst") {
    const fake_kernel kernel;
    std::ostringstream out;
    std::ostringstream err;
    const int code = pinpin::run({"doctor", "--json", "--device", "/no/such/device"}, out, err);
    const pinpin::json list = pinpin::json::parse(out.str());
    CHECK(code == pinpin::failed); // for there is no device
    CHECK(err.str().empty());
    REQUIRE(list.is_array());
    for (const pinpin::json& one : list) {
        CHECK(one.size() == 4);
        const auto state = one["state"].get<std::string>();
        CHECK((state == "ok" || state == "note" || state == "problem"));
        CHECK(!one["finding"].get<std::string>().empty());
        CHECK((one["mend"].is_null() || one["mend"].is_string()));
    }

    out.str("");
    CHECK(pinpin::run({"doctor", "--device", "/no/such/device"}, out, err) == pinpin::failed);
    CHECK_THAT(out.str(), Contains("problem: device: "));
}
