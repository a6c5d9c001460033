// SPDX-License-Identifier: MIT
// Metrics, and the file that they are written to.
#include "metric_families.hpp"
#include "replace_file.hpp"
#include "sample_pins.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>

#include <sys/stat.h>
#include <unistd.h>

using pinpin::text_format;

namespace {

std::vector<pinpin::metric_family> sample_families() {
    pinpin::pin_sums sums(4096);
    sums.add(anonymous_pin());
    sums.add(orphaned_pin());
    longpin::pin_record mixed = anonymous_pin();
    mixed.footprint.kinds = longpin::memory_kind::anon | longpin::memory_kind::shmem;
    sums.add(mixed);
    return pinpin::metric_families({.contexts = 2,
                                    .pins = 3,
                                    .pages = 16392,
                                    .runs = 5,
                                    .bookkeeping = 784,
                                    .peak_pages = 20000,
                                    .pins_made = 10,
                                    .pages_taken = 30000,
                                    .pinning_time = std::chrono::milliseconds(1500),
                                    .dry_runs = 4,
                                    .refused = {{longpin::reason::memlock, 2},
                                                {static_cast<longpin::reason>(4000), 1},
                                                {static_cast<longpin::reason>(4001), 1}},
                                    .revocations = 6,
                                    .pages_revoked = 7,
                                    .repins = 8},
                                   sums, "1.2.3");
}

/// The text without the reasons that were none.
std::string without_zeros(const std::string& text) {
    std::istringstream lines(text);
    std::string result;
    for (std::string line; std::getline(lines, line);) {
        if (!line.starts_with("longpin_refused_total") || !line.ends_with(" 0")) {
            result += line + '\n';
        }
    }
    return result;
}

/// A directory that goes with its object.
class temporary_directory {
public:
    temporary_directory()
        : path_(std::filesystem::temp_directory_path() /
                ("longpin-metrics-" + std::to_string(::getpid()))) {
        std::filesystem::create_directory(path_);
    }

    ~temporary_directory() { std::filesystem::remove_all(path_); }

    temporary_directory(const temporary_directory&) = delete;
    temporary_directory& operator=(const temporary_directory&) = delete;
    temporary_directory(temporary_directory&&) = delete;
    temporary_directory& operator=(temporary_directory&&) = delete;

    [[nodiscard]] std::string operator/(const std::string& name) const { return path_ / name; }

    [[nodiscard]] std::size_t files() const {
        return static_cast<std::size_t>(
            std::distance(std::filesystem::directory_iterator(path_), {}));
    }

private:
    std::filesystem::path path_;
};

std::string all_of(const std::ifstream& file) {
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

std::string contents(const std::string& path) {
    return all_of(std::ifstream(path));
}

} // namespace

TEST_CASE("Metrics are OpenMetrics text") {
    CHECK(without_zeros(to_text(sample_families(), text_format::openmetrics)) ==
          R"(# TYPE longpin_info gauge
# HELP longpin_info The module that is loaded. Always 1.
longpin_info{version="1.2.3"} 1
# TYPE longpin_contexts gauge
# HELP longpin_contexts Open files of /dev/longpin.
longpin_contexts 2
# TYPE longpin_pins gauge
# HELP longpin_pins Pins that are held.
longpin_pins 3
# TYPE longpin_pinned_bytes gauge
# UNIT longpin_pinned_bytes bytes
# HELP longpin_pinned_bytes Memory that is held.
longpin_pinned_bytes 67141632
# TYPE longpin_peak_pinned_bytes gauge
# UNIT longpin_peak_pinned_bytes bytes
# HELP longpin_peak_pinned_bytes Most memory that was ever held at once.
longpin_peak_pinned_bytes 81920000
# TYPE longpin_runs gauge
# HELP longpin_runs Physically contiguous runs of what is held.
longpin_runs 5
# TYPE longpin_bookkeeping_bytes gauge
# UNIT longpin_bookkeeping_bytes bytes
# HELP longpin_bookkeeping_bytes Kernel memory for the records of pins.
longpin_bookkeeping_bytes 784
# TYPE longpin_pins_made counter
# HELP longpin_pins_made Pins that were made.
longpin_pins_made_total 10
# TYPE longpin_taken_bytes counter
# UNIT longpin_taken_bytes bytes
# HELP longpin_taken_bytes Memory that was taken by pins.
longpin_taken_bytes_total 122880000
# TYPE longpin_pinning_seconds counter
# UNIT longpin_pinning_seconds seconds
# HELP longpin_pinning_seconds Time spent making pins.
longpin_pinning_seconds_total 1.5
# TYPE longpin_dry_runs counter
# HELP longpin_dry_runs Dry runs.
longpin_dry_runs_total 4
# TYPE longpin_refused counter
# HELP longpin_refused Pins that were refused, by the reason.
longpin_refused_total{reason="memlock"} 2
longpin_refused_total{reason="unknown"} 2
# TYPE longpin_revocations counter
# HELP longpin_revocations How often pages of a lease were taken back.
longpin_revocations_total 6
# TYPE longpin_revoked_bytes counter
# UNIT longpin_revoked_bytes bytes
# HELP longpin_revoked_bytes Memory that was taken back from leases.
longpin_revoked_bytes_total 28672
# TYPE longpin_repins counter
# HELP longpin_repins How often a lease got pages again.
longpin_repins_total 8
# TYPE longpin_orphaned_pins gauge
# HELP longpin_orphaned_pins Pins whose process is gone.
longpin_orphaned_pins 1
# TYPE longpin_orphaned_bytes gauge
# UNIT longpin_orphaned_bytes bytes
# HELP longpin_orphaned_bytes Memory of pins whose process is gone.
longpin_orphaned_bytes 67108864
# TYPE longpin_oldest_pin_age_seconds gauge
# UNIT longpin_oldest_pin_age_seconds seconds
# HELP longpin_oldest_pin_age_seconds Age of the oldest pin; 0 if there is none.
longpin_oldest_pin_age_seconds 176400.0
# TYPE longpin_user_pins gauge
# HELP longpin_user_pins Pins that are held, by the user.
longpin_user_pins{uid="0"} 2
longpin_user_pins{uid="4000000000"} 1
# TYPE longpin_user_pinned_bytes gauge
# UNIT longpin_user_pinned_bytes bytes
# HELP longpin_user_pinned_bytes Memory that is held, by the user.
longpin_user_pinned_bytes{uid="0"} 32768
longpin_user_pinned_bytes{uid="4000000000"} 67108864
# TYPE longpin_kind_pins gauge
# HELP longpin_kind_pins Pins that are held, by the kinds of memory.
longpin_kind_pins{kinds="anon"} 1
longpin_kind_pins{kinds="anon,shmem"} 1
longpin_kind_pins{kinds="devdax"} 1
# TYPE longpin_kind_pinned_bytes gauge
# UNIT longpin_kind_pinned_bytes bytes
# HELP longpin_kind_pinned_bytes Memory that is held, by the kinds of memory in the pin.
longpin_kind_pinned_bytes{kinds="anon"} 16384
longpin_kind_pinned_bytes{kinds="anon,shmem"} 16384
longpin_kind_pinned_bytes{kinds="devdax"} 67108864
# EOF
)");
}

TEST_CASE("A counter of refusals is there for each reason before the first") {
    const std::string text = to_text(sample_families(), text_format::openmetrics);
    CHECK_THAT(text, Catch::Contains("longpin_refused_total{reason=\"fsdax\"} 0\n") &&
                         Catch::Contains("longpin_refused_total{reason=\"none\"} 0\n") &&
                         Catch::Contains("longpin_refused_total{reason=\"max_user_pages\"} 0\n"));
}

TEST_CASE("Metrics in the format of Prometheus name a counter as its samples, and have no units") {
    const std::string text = to_text(sample_families(), text_format::prometheus);
    CHECK_THAT(text, Catch::Contains("# TYPE longpin_pins_made_total counter\n"
                                     "# HELP longpin_pins_made_total Pins that were made.\n"
                                     "longpin_pins_made_total 10\n") &&
                         Catch::Contains("# TYPE longpin_pins gauge\n") &&
                         !Catch::Contains("# UNIT") && !Catch::Contains("# EOF"));
}

TEST_CASE("Metrics of pins that are not there are left out, or 0") {
    const std::string text =
        to_text(pinpin::metric_families({}, pinpin::pin_sums(4096), "1"), text_format::openmetrics);
    CHECK_THAT(text, Catch::Contains("longpin_pins 0\n") &&
                         Catch::Contains("longpin_oldest_pin_age_seconds 0.0\n") &&
                         !Catch::Contains("longpin_user_pins"));
}

TEST_CASE("Values of labels are escaped") {
    const std::vector<pinpin::metric_family> families{
        {"a", pinpin::metric_family::kind::gauge, "", "Help.", {{1, {{"b", "x\"y\\z\n"}}}}}};
    CHECK(to_text(families, text_format::openmetrics) ==
          "# TYPE a gauge\n# HELP a Help.\na{b=\"x\\\"y\\\\z?\"} 1\n# EOF\n");
}

TEST_CASE("Metrics as JSON are numbers by name, and arrays where there are labels") {
    const pinpin::json object = to_json(sample_families());
    CHECK(object["longpin_pins"] == 3);
    CHECK(object["longpin_pins_made_total"] == 10);
    CHECK(object["longpin_pinning_seconds_total"] == 1.5);
    CHECK(pinpin::to_json_line(object["longpin_user_pins"]) ==
          R"([{"uid":"0","value":2},{"uid":"4000000000","value":1}])");
}

TEST_CASE("A file is replaced whole, and anybody may read it") {
    const temporary_directory directory;
    const std::string path = directory / "metrics.prom";
    pinpin::replace_file(path, "old\n");
    const std::ifstream before(path);
    const std::string text(100'000, 'x');
    pinpin::replace_file(path, text);
    CHECK(contents(path) == text);
    CHECK(all_of(before) == "old\n"); // whoever is reading it meanwhile
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 07777U) == 0644);
    CHECK(directory.files() == 1);
}

TEST_CASE("A file that can't be replaced stays as it is, and nothing is left beside it") {
    const temporary_directory directory;
    const std::string taken = directory / "taken";
    std::filesystem::create_directory(taken);
    std::ofstream(taken + "/inside") << "x";
    try {
        pinpin::replace_file(taken, "text");
        FAIL("a directory was replaced");
    } catch (const std::system_error& problem) {
        CHECK(problem.code().value() == EISDIR);
        CHECK_THAT(problem.what(), Catch::Contains("cannot write " + taken));
    }
    CHECK(directory.files() == 1);
    CHECK_THROWS_AS(pinpin::replace_file(directory / "missing/file", "text"), std::system_error);
    CHECK_THROWS_AS(pinpin::replace_file("", "text"), std::system_error);
}
