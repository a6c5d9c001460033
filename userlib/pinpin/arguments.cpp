// SPDX-License-Identifier: MIT
#include "arguments.hpp"

#include <longpin/size.hpp>

#include <CLI/CLI.hpp>

namespace pinpin {

bool lexical_cast(const std::string& text, byte_count& value) {
    const std::optional<std::uint64_t> bytes = longpin::parse_size(text);
    value.bytes = bytes.value_or(0);
    return bytes.has_value();
}

std::string check_not_empty(const std::string& text) {
    return text.empty() ? "is empty" : "";
}

std::string memory_arguments::description() const {
    if (anon) {
        return "anonymous memory";
    }
    if (memfd) {
        return "memfd";
    }
    return hugetlb ? "hugetlb memory" : file;
}

void declare_memory(CLI::App& app, memory_arguments& arguments) {
    CLI::Option_group* const which = app.add_option_group("Memory");
    CLI::Option* const file =
        which->add_option("FILE", arguments.file, "A file or a device-DAX device, mapped shared");
    which->add_option("--anon", arguments.anon, "Anonymous memory")->type_name("SIZE");
    which->add_option("--memfd", arguments.memfd, "Memory of a memfd")->type_name("SIZE");
    which->add_option("--hugetlb", arguments.hugetlb, "Huge pages of the default size")
        ->type_name("SIZE");
    which->require_option(1);

    app.add_option("--offset", arguments.offset, "Where in it the pin begins; 0 by default")
        ->type_name("SIZE");
    app.add_option("--length", arguments.length, "Bytes to pin; all from the offset by default")
        ->type_name("SIZE");
    app.add_flag("--write", arguments.write, "Pin for writing");
    app.add_flag("--private", arguments.private_mapping, "Map FILE privately")->needs(file);
}

} // namespace pinpin
