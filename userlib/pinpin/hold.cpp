// SPDX-License-Identifier: MIT
#include "arguments.hpp"
#include "cli.hpp"
#include "command.hpp"
#include "lease_log.hpp"
#include "mapping.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "wait.hpp"

#include <longpin/parallel.hpp>
#include <longpin/size.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <memory>
#include <ostream>
#include <system_error>

namespace pinpin {

namespace {

struct hold_arguments {
    memory_arguments memory;
    bool unmap = false;
    std::string store;
    byte_count dump;
    std::optional<double> seconds;
    bool lease = false;
    std::uint32_t grace = 0; // milliseconds
    bool repin = false;
    std::optional<unsigned> threads;
};

longpin::pin take(const longpin::device& device, const mapping& memory,
                  const hold_arguments& arguments) {
    const longpin::pin_options options{.lease = arguments.lease,
                                       .grace = std::chrono::milliseconds(arguments.grace)};
    const progress shown("pinning", memory.range());
    return arguments.memory.write ? device.pin_writable(memory.range(), options)
                                  : device.pin(memory.range(), options);
}

// Writes a file's bytes to the start of the pin, as many as fit.
void store(const longpin::pin& held, const std::string& path) {
    std::ifstream source(path, std::ios::binary);
    if (!source) {
        throw std::system_error(errno, std::generic_category(), "cannot open " + path);
    }
    std::vector<char> chunk(std::size_t{1} << 20U);
    std::uint64_t offset = 0;
    while (offset < held.length() && source) {
        const std::uint64_t room = std::min<std::uint64_t>(chunk.size(), held.length() - offset);
        source.read(chunk.data(), static_cast<std::streamsize>(room));
        const std::span bytes(chunk.data(), static_cast<std::size_t>(source.gcount()));
        if (!bytes.empty()) {
            held.write(offset, std::as_bytes(bytes));
        }
        offset += bytes.size();
    }
}

// Several pins, side by side.
std::vector<longpin::pin> take_pieces(const longpin::device& device, const mapping& memory,
                                      const hold_arguments& arguments) {
    measured_progress shown("pinning " + longpin::format_size(memory.range().size()));
    const longpin::parallel_options options{
        .threads = *arguments.threads, .progress = [&](std::uint64_t done, std::uint64_t total) {
            shown.update(done, total);
            return true;
        }};
    return arguments.memory.write ? longpin::pin_parallel_writable(device, memory.range(), options)
                                  : longpin::pin_parallel(device, memory.range(), options);
}

// What is held by one pin or several.
record describe_held(const hold_arguments& arguments, std::uint64_t address, std::uint64_t length) {
    return {{"memory", "memory", arguments.memory.description()},
            {"address", "address", address, unit::address},
            {"length", "length", length, unit::bytes},
            {"writable", "for writing", arguments.memory.write},
            {"mapped", "still mapped", !arguments.unmap}};
}

bool wait(const session& session, const hold_arguments& arguments, const waiter& waiter,
          const errand& meanwhile) {
    if (session.program.empty()) {
        waiter.wait(arguments.seconds, meanwhile);
        return true;
    }
    return waiter.run(session.program, meanwhile);
}

int run_hold_in_pieces(session& session, const hold_arguments& arguments) {
    const longpin::device device(session.device_path);
    mapping memory(arguments.memory);
    const std::vector<longpin::pin> held = take_pieces(device, memory, arguments);
    const waiter waiter;
    if (arguments.unmap) {
        memory.unmap();
    }
    std::uint64_t length = 0;
    longpin::footprint sum;
    for (const longpin::pin& piece : held) {
        const longpin::footprint& one = piece.footprint();
        length += piece.length();
        sum.kinds = sum.kinds | one.kinds;
        sum.pages += one.pages;
        sum.runs += one.runs;
        sum.bookkeeping += one.bookkeeping;
    }
    record fields{{"pins", "pins", held.size()}};
    for (const record& more : {describe_held(arguments, held.front().address(), length),
                               describe(sum, device.info().page_size)}) {
        fields.insert(fields.end(), more.begin(), more.end());
    }
    print(session.out, fields, session.json);
    return wait(session, arguments, waiter, {}) ? done : failed;
}

int run_hold(session& session, const hold_arguments& arguments) {
    const longpin::device device(session.device_path);
    mapping memory(arguments.memory);
    longpin::pin held = take(device, memory, arguments);
    const waiter waiter;
    if (arguments.unmap) {
        memory.unmap();
    }
    if (!arguments.store.empty()) {
        store(held, arguments.store);
    }
    std::vector<std::byte> bytes(std::min(arguments.dump.bytes, held.length()));
    if (!bytes.empty()) {
        held.read(0, bytes);
    }

    record fields{{"handle", "handle", held.handle()}};
    const record what = describe_held(arguments, held.address(), held.length());
    fields.insert(fields.end(), what.begin(), what.end());
    fields.push_back({"lease", "lease", arguments.lease});
    if (arguments.lease) {
        fields.push_back(
            {"grace", "grace", arguments.grace, unit::none, fmt::format("{} ms", arguments.grace)});
    }
    const record costs = describe(held.footprint(), device.info().page_size);
    fields.insert(fields.end(), costs.begin(), costs.end());
    if (!bytes.empty() && session.json) {
        fields.push_back({"bytes", "bytes", to_hex(bytes)});
    }
    if (session.json && arguments.lease) {                         // an object in each line
        session.out << to_json_line(to_json(fields)) << std::endl; // NOLINT: a reader waits for it
    } else {
        print(session.out, fields, session.json);
    }
    if (!bytes.empty() && !session.json) {
        session.out << "read through the pin:\n" << to_hexdump(bytes) << std::flush;
    }

    const lease_log log(session.out, session.json, device, held, memory, arguments.repin);
    const errand meanwhile{.descriptor = arguments.lease ? device.native_handle() : -1,
                           .run = [&log] { log.catch_up(); }};
    const bool went_well = wait(session, arguments, waiter, meanwhile);
    if (arguments.lease) {
        log.catch_up(); // the program may have ended at once
    }
    held.unpin();
    return went_well ? done : failed;
}

} // namespace

action declare_hold(CLI::App& app) {
    const auto arguments = std::make_shared<hold_arguments>();
    declare_memory(app, arguments->memory);
    CLI::Option* const lease = app.add_flag("--lease", arguments->lease, lease_help);
    app.add_option("--grace", arguments->grace,
                   "How long whoever cuts a file on fs-DAX waits for this pin at most; pinpin lets "
                   "go at once when it is asked; 0 by default")
        ->type_name("MS")
        ->needs(lease);
    app.add_flag("--repin", arguments->repin,
                 "Pin again what is mapped when pages were taken back; of a file what it has left")
        ->needs(lease);
    app.add_flag("--unmap", arguments->unmap,
                 "Unmap the memory once it is pinned; the pin holds it all the same")
        ->excludes(lease);
    CLI::Option* const threads =
        app.add_option("--threads", arguments->threads,
                       "Pin in pieces, by so many threads at once; each piece is a pin. 0: one for "
                       "each processor")
            ->type_name("N")
            ->excludes(lease);
    app.add_option("--store", arguments->store,
                   "Write that file's bytes through the pin, as a device would (with --write; "
                   "after --unmap)")
        ->type_name("FILE")
        ->needs("--write")
        ->excludes(threads);
    app.add_option("--dump", arguments->dump,
                   "Show that many bytes as read through the pin (after --unmap and --store)")
        ->type_name("SIZE")
        ->excludes(threads);
    app.add_option("--for", arguments->seconds, "Hold it that long, not until Ctrl-C")
        ->type_name("SECONDS")
        ->check(CLI::NonNegativeNumber);
    return [arguments](session& session) {
        if (arguments->seconds && !session.program.empty()) {
            throw CLI::ValidationError("--for", "with a program, the memory is held while it runs");
        }
        return arguments->threads ? run_hold_in_pieces(session, *arguments)
                                  : run_hold(session, *arguments);
    };
}

} // namespace pinpin
