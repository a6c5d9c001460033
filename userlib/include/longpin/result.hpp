// SPDX-License-Identifier: MIT
#pragma once

#include <longpin/error.hpp>
#include <longpin/export.hpp>

#include <type_traits>
#include <utility>
#include <variant>

namespace longpin {

namespace detail {
[[noreturn]] LONGPIN_EXPORT void raise(const error& failure);
[[noreturn]] LONGPIN_EXPORT void misused(const char* what);
} // namespace detail

/// What a call gave, or why it failed: the answer of every member whose name begins with
/// try_. It is for programs that forbid exceptions (the headers compile with
/// -fno-exceptions and -fno-rtti), and for calls whose failure is ordinary:
///
///     longpin::result<longpin::pin> tried = device.try_pin(range);
///     if (!tried) {
///         std::fputs(tried.error().what(), stderr);
///         return tried.error().code().value();
///     }
///     longpin::pin held = std::move(*tried);
///
/// The member without try_ is the same call, and throws the error.
///
/// A try_ member throws two things all the same. std::bad_alloc, when there is no memory
/// to put the answer or the explanation into; the call has left nothing behind then.
/// And std::logic_error, when the object is empty, which is the program's mistake. In a
/// program without exceptions either ends it, as a failed new does.
///
/// As for a std::variant, const members may be called by several threads at once.
template <typename T>
class [[nodiscard]] result {
    using stored = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

public:
    /// Success of a call that gives nothing.
    result() noexcept requires std::is_void_v<T>
    = default;

    /// Success.
    // NOLINTNEXTLINE(google-explicit-constructor): a function returns its value
    result(stored value) : contents_(std::in_place_index<0>, std::move(value)) {}

    /// Failure.
    // NOLINTNEXTLINE(google-explicit-constructor): a function returns its error
    result(longpin::error failure) : contents_(std::in_place_index<1>, std::move(failure)) {}

    /// Whether the call succeeded.
    [[nodiscard]] explicit operator bool() const noexcept { return contents_.index() == 0; }

    /// What the call gave. Throws std::logic_error after a failure: test first.
    [[nodiscard]] stored& operator*() { return checked(std::get_if<0>(&contents_)); }

    /// The same.
    [[nodiscard]] const stored& operator*() const { return checked(std::get_if<0>(&contents_)); }

    /// The same.
    [[nodiscard]] stored* operator->() { return &**this; }

    /// The same.
    [[nodiscard]] const stored* operator->() const { return &**this; }

    /// Why the call failed. Throws std::logic_error after a success: test first.
    [[nodiscard]] const longpin::error& error() const {
        return checked(std::get_if<1>(&contents_));
    }

    /// Gives what the call gave away.
    /// \throws longpin::error  the call failed: error()
    T value() && {
        if (!*this) {
            detail::raise(error());
        }
        return static_cast<T>(std::move(**this));
    }

private:
    // As std::get(), which is not used: what it throws with depends on how a caller was
    // compiled.
    template <typename Content>
    static Content& checked(Content* content) {
        if (content == nullptr) {
            detail::misused("longpin::result: asked for what it does not have");
        }
        return *content;
    }

    std::variant<stored, longpin::error> contents_;
};

} // namespace longpin
