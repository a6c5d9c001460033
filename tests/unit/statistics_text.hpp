// SPDX-License-Identifier: MIT
#pragma once

#include <longpin/registration_cache.hpp>

#include <catch2/catch.hpp>

#include <string>
#include <utility>

/// How a failed comparison shows them; for all tests of the program alike.
template <>
struct Catch::StringMaker<longpin::cache_statistics> {
    static std::string convert(const longpin::cache_statistics& of) {
        std::string text;
        for (const auto& [name, number] :
             {std::pair("hits", of.hits), std::pair("misses", of.misses),
              std::pair("refusals", of.refusals), std::pair("made", of.made),
              std::pair("evictions", of.evictions), std::pair("invalidations", of.invalidations),
              std::pair("superseded", of.superseded), std::pair("entries", of.entries),
              std::pair("retired", of.retired), std::pair("bytes", of.bytes)}) {
            text += std::string(text.empty() ? "" : " ") + name + ' ' + std::to_string(number);
        }
        return text;
    }
};
