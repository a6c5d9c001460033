// SPDX-License-Identifier: MIT
// longpin beside the kernel's other long-term pinners: the same memory is given to all of them, and
// where their answers differ, the difference is meant. The table of what they said is left in
// /run/longpin/parity.md.
#include "support/backings.hpp"
#include "support/peers.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <vector>

using namespace guest;

namespace {

// ---- what is asked, and what is answered

enum pinner { ours, rdma, io_uring, v4l2 };
constexpr const char* pinner_names[] = {"longpin", "RDMA", "io_uring", "V4L2"};
constexpr std::size_t pinners = std::size(pinner_names);
constexpr direction directions[] = {direction::read, direction::write};

/// 0, an errno, or nothing: the pinner has no such registration.
using answer = std::optional<int>;

struct table_row {
    const memory_backing* memory;
    std::array<std::array<answer, std::size(directions)>, pinners> answers;

    [[nodiscard]] answer of(pinner who, direction wanted) const {
        return answers.at(who).at(static_cast<std::size_t>(wanted));
    }
};

std::string text(answer said) {
    if (!said) {
        return "-";
    }
    return *said == 0 ? "yes" : ::strerrorname_np(*said);
}

// ---- what may differ

constexpr kernel_version first{0, 0};
constexpr kernel_version last{1000, 0};

/// Each of these peers answers otherwise than longpin for each of these kinds of memory.
struct difference {
    std::vector<std::string_view> memory;
    direction wanted;
    int longpin_says;
    std::vector<pinner> peers;
    int they_say;
    kernel_version since, before;
    std::string_view reason;

    [[nodiscard]] bool is_about(const table_row& row, pinner who, direction asked) const {
        return asked == wanted && std::ranges::count(peers, who) != 0 &&
               std::ranges::count(memory, row.memory->name) != 0;
    }
};

const std::vector<difference> intended = {
    {.memory = {"ext4 file, shared", "XFS file, shared"},
     .wanted = direction::write,
     .longpin_says = EOPNOTSUPP,
     .peers = {rdma, v4l2},
     .they_say = 0,
     .since = first,
     .before = {6, 5},
     .reason = "The dirty-tracking rule. Before Linux 6.5 these peers let a device write to the "
               "page cache behind the file system's back; longpin refuses on every kernel."},
    {.memory = {"ext4 file, shared", "XFS file, shared"},
     .wanted = direction::write,
     .longpin_says = EOPNOTSUPP,
     .peers = {rdma, io_uring, v4l2},
     .they_say = EFAULT,
     .since = {6, 5},
     .before = last,
     .reason = "The dirty-tracking rule. Since 6.5 Linux refuses too, but with the errno of memory "
               "that isn't there; longpin's is the same on every kernel."},
    {.memory = {"ext4 file, shared, read-only"},
     .wanted = direction::read,
     .longpin_says = 0,
     .peers = {rdma, v4l2},
     .they_say = EFAULT,
     .since = first,
     .before = {6, 2},
     .reason = "Before 6.2 these peers give the process its own copy of whatever they pin for "
               "reading, so that it is coherent, and fail where there can be none. longpin does "
               "so to private memory only: shared memory is coherent as it is."},
    {.memory = {"anonymous, read-only", "XFS file, private, read-only"},
     .wanted = direction::write,
     .longpin_says = EFAULT,
     .peers = {v4l2},
     .they_say = 0,
     .since = first,
     .before = {6, 2},
     .reason = "Before 6.2 V4L2 overrides the protection of the mapping (FOLL_FORCE). To longpin, "
               "what the process may not write a device may not write for it."},
    {.memory = {"ext4 file, private", "XFS file, private", "device-DAX 2 MiB", "device-DAX 4 KiB",
                "device-DAX 1 GiB"},
     .wanted = direction::write,
     .longpin_says = 0,
     .peers = {io_uring},
     .they_say = EOPNOTSUPP,
     .since = first,
     .before = {6, 5},
     .reason = "Before 6.5 io_uring refuses every mapping of a file that is not in memory alone, "
               "even if the pages are the process's own copies or a device's, which no file "
               "system moves. longpin and RDMA pin them."},
};

/// The intended differences on this kernel.
std::vector<difference> listed() {
    const kernel_version version = running_kernel();
    std::vector<difference> here;
    std::ranges::copy_if(intended, std::back_inserter(here), [&](const difference& one) {
        return one.since <= version && version < one.before;
    });
    return here;
}

// ---- the table

int try_longpin(const raw_device& device, const mapping& memory, direction wanted) {
    longpin_pin pinned{};
    const std::uint32_t flags = wanted == direction::write ? LONGPIN_PIN_WRITE : 0;
    if (const int err = device.pin(memory.data(), memory.length(), flags, pinned)) {
        return err;
    }
    if (const int err = device.unpin(pinned.out_handle)) {
        throw std::system_error(err, std::generic_category(), "LONGPIN_UNPIN");
    }
    return 0;
}

std::vector<table_row> ask_everybody() {
    const raw_device device;
    const rdma_peer regions;
    const io_uring_peer buffers;
    const auto ask = [&](pinner who, const mapping& memory, direction wanted) -> answer {
        switch (who) {
        case ours: return try_longpin(device, memory, wanted);
        case rdma: return regions.try_to_register(memory, wanted);
        case v4l2: return try_v4l2(memory, wanted);
        case io_uring: break;
        }
        if (wanted == direction::read) {
            return std::nullopt;
        }
        return buffers.try_to_register(memory);
    };

    std::vector<table_row> table;
    for (const memory_backing& backing : memory_backings()) {
        table_row row{&backing, {}};
        mapping memory;
        for (const pinner who : {ours, rdma, io_uring, v4l2}) {
            for (const direction wanted : directions) {
                // Each finds new memory, since a pin may change what it holds: private memory is
                // copied. Huge pages are there whole as soon as they are touched, and to clear a
                // GiB of them takes seconds.
                if (memory.data() == nullptr || backing.kind != backing_kind::hugetlb) {
                    memory = backing.map();
                }
                const long held = pinned_pages();
                row.answers.at(who).at(static_cast<std::size_t>(wanted)) = ask(who, memory, wanted);
                if (pinned_pages() != held) {
                    throw std::runtime_error(std::string(pinner_names[who]) + " still holds " +
                                             std::string(backing.name));
                }
            }
        }
        table.push_back(row);
    }
    return table;
}

/// Markdown, in columns that can be read as they are. A cell is "reading / writing", or one word
/// for both, with the number of the difference if there is one.
void write_table(const std::vector<table_row>& table, std::ostream& out) {
    const std::vector<difference> differences = listed();
    const auto cell = [&](const table_row& row, pinner who, direction wanted) {
        std::string words = text(row.of(who, wanted));
        for (std::size_t i = 0; i < differences.size(); i++) {
            if (differences[i].is_about(row, who, wanted)) {
                words += " (" + std::to_string(i + 1) + ')';
            }
        }
        return words;
    };

    std::vector<std::vector<std::string>> lines{{"memory"}};
    lines[0].insert(lines[0].end(), std::begin(pinner_names), std::end(pinner_names));
    for (const table_row& row : table) {
        std::vector<std::string>& line = lines.emplace_back();
        line.emplace_back(row.memory->name);
        for (const pinner who : {ours, rdma, io_uring, v4l2}) {
            std::string words = cell(row, who, direction::read);
            const std::string writing = cell(row, who, direction::write);
            if (words != writing) {
                words.append(" / ").append(writing);
            }
            line.push_back(words);
        }
    }
    std::vector<std::size_t> widths(pinners + 1);
    for (const std::vector<std::string>& line : lines) {
        for (std::size_t i = 0; i < widths.size(); i++) {
            widths[i] = std::max(widths[i], line[i].size());
        }
    }

    for (std::size_t i = 0; i < lines.size(); i++) {
        for (std::size_t j = 0; j < widths.size(); j++) {
            out << "| " << lines[i][j] << std::string(widths[j] - lines[i][j].size() + 1, ' ');
        }
        out << "|\n";
        if (i == 0) {
            for (const std::size_t width : widths) {
                out << '|' << std::string(width + 2, '-');
            }
            out << "|\n";
        }
    }
    out << '\n';
    for (std::size_t i = 0; i < differences.size(); i++) {
        out << i + 1 << ". " << differences[i].reason << '\n';
    }
}

struct outcome {
    std::vector<table_row> table;
    bool peers_removed;
};

/// Asked once, for all the test cases.
const outcome& everybody() {
    static const outcome asked = [] {
        add_peer_devices();
        outcome result{ask_everybody(), false};
        result.peers_removed = remove_peer_devices();
        std::ofstream file("/run/longpin/parity.md");
        write_table(result.table, file);
        return result;
    }();
    return asked;
}

const table_row& row_named(std::string_view name) {
    const std::vector<table_row>& table = everybody().table;
    const auto found =
        std::ranges::find(table, name, [](const table_row& row) { return row.memory->name; });
    if (found == table.end()) {
        throw std::runtime_error("a difference is listed for no memory: " + std::string(name));
    }
    return *found;
}

/// For a failed assertion.
std::string describe(const table_row& row, pinner who, direction wanted) {
    std::ostringstream words;
    words << row.memory->name
          << (wanted == direction::write ? ", for writing: " : ", for reading: ") << "longpin says "
          << text(row.of(ours, wanted)) << ", " << pinner_names[who] << " says "
          << text(row.of(who, wanted));
    return words.str();
}

} // namespace

TEST_CASE("parity: where a peer answers otherwise than longpin, the difference is listed") {
    const std::vector<difference> differences = listed();
    for (const table_row& row : everybody().table) {
        for (const pinner who : {rdma, io_uring, v4l2}) {
            for (const direction wanted : directions) {
                const bool is_listed = std::ranges::any_of(differences, [&](const difference& one) {
                    return one.is_about(row, who, wanted);
                });
                if (row.of(who, wanted) && !is_listed) {
                    INFO(describe(row, who, wanted));
                    CHECK(text(row.of(who, wanted)) == text(row.of(ours, wanted)));
                }
            }
        }
    }
}

TEST_CASE("parity: every difference that is listed occurs", "[devdax]") {
    for (const difference& one : listed()) {
        CHECK(one.longpin_says != one.they_say);
        for (const std::string_view name : one.memory) {
            const table_row& row = row_named(name);
            for (const pinner who : one.peers) {
                INFO(describe(row, who, one.wanted));
                CHECK(text(row.of(ours, one.wanted)) == text(one.longpin_says));
                CHECK(text(row.of(who, one.wanted)) == text(one.they_say));
            }
        }
    }
}

TEST_CASE("parity: longpin accepts what RDMA accepts, but for the dirty-tracking rule") {
    for (const table_row& row : everybody().table) {
        for (const direction wanted : directions) {
            const bool breaks_the_rule =
                row.memory->kind == backing_kind::shared_file && wanted == direction::write;
            if (row.of(rdma, wanted) == 0 && !breaks_the_rule) {
                INFO(describe(row, rdma, wanted));
                CHECK(text(row.of(ours, wanted)) == "yes");
            }
        }
    }
}

TEST_CASE("parity: fs-DAX is refused by longpin and by every peer") {
    for (const table_row& row : everybody().table) {
        for (const pinner who : {ours, rdma, io_uring, v4l2}) {
            for (const direction wanted : directions) {
                if (row.memory->kind == backing_kind::fs_dax && row.of(who, wanted)) {
                    INFO(describe(row, who, wanted));
                    CHECK(text(row.of(who, wanted)) == "EOPNOTSUPP");
                }
            }
        }
    }
}

TEST_CASE("parity: what the peers were asked left nothing behind that keeps their modules") {
    CHECK(everybody().peers_removed);
}
