// SPDX-License-Identifier: MIT
#include "screen.hpp"

#include "descriptor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <system_error>

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define NCURSES_NOMACROS // functions, as in C++
#include <curses.h>
#include <term.h>
#undef columns // capabilities of terminals
#undef lines

namespace pinpin {

namespace {

constexpr int redraw_key = 'L' - '@'; // Ctrl-L

[[noreturn]] void fail(const std::string& why) {
    throw std::runtime_error(
        fmt::format("cannot show a full screen: {}; 'pinpin list' needs no terminal", why));
}

// ncurses ends the process when it doesn't like the terminal, so it is asked for its opinion.
void check_terminal() {
    if (::isatty(STDIN_FILENO) != 1 || ::isatty(STDOUT_FILENO) != 1) {
        fail("input and output have to be a terminal");
    }
    const char* const type = std::getenv("TERM"); // NOLINT(concurrency-mt-unsafe)
    const std::string name = type != nullptr ? type : "";
    int found = 0;
    if (name.empty()) {
        fail("TERM does not tell which terminal this is");
    }
    if (::setupterm(nullptr, STDOUT_FILENO, &found) != OK) {
        fail(fmt::format("nothing is known of the terminal {} (TERM)", name));
    }
    const bool can_place_text = ::tigetstr("cup") != nullptr;
    ::del_curterm(::cur_term);
    if (!can_place_text) {
        fail(fmt::format("the terminal {} (TERM) can't put text in its place", name));
    }
}

std::optional<motion> motion_of(int key) {
    switch (key) {
    case KEY_UP: return motion::up;
    case KEY_DOWN: return motion::down;
    case KEY_PPAGE: return motion::page_up;
    case KEY_NPAGE: return motion::page_down;
    case KEY_HOME: return motion::to_start;
    case KEY_END: return motion::to_end;
    default: return std::nullopt;
    }
}

// What a key asks for; empty: nothing.
std::optional<user_input> meaning_of(int key) {
    if (const auto where = motion_of(key)) {
        return *where;
    }
    if (key == redraw_key) {
        ::clearok(::curscr, TRUE);
    }
    if (key == redraw_key || key == KEY_RESIZE) {
        return redraw_request{};
    }
    if (key > 0 && key <= '~') {
        return static_cast<char>(key);
    }
    return std::nullopt;
}

// What a signal that has come asks for; empty: none has.
std::optional<user_input> take_signal(int descriptor) {
    signalfd_siginfo signal{};
    if (::read(descriptor, &signal, sizeof(signal)) != sizeof(signal)) {
        return std::nullopt;
    }
    if (signal.ssi_signo != SIGWINCH) {
        return quit_request{};
    }
    winsize size{};
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg)
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0) {
        ::resizeterm(size.ws_row, size.ws_col);
    }
    return redraw_request{};
}

} // namespace

struct screen::terminal {
    sigset_t awaited{};
    sigset_t before{};
    descriptor signals; // which are blocked: they are read when there is time for them
    SCREEN* screen = nullptr;
    WINDOW* window = nullptr; // as large as the screen
};

screen::screen() : terminal_(std::make_unique<terminal>()) {
    check_terminal();
    std::setlocale(LC_CTYPE, ""); // NOLINT(concurrency-mt-unsafe): which characters there are

    ::sigemptyset(&terminal_->awaited);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGWINCH}) {
        ::sigaddset(&terminal_->awaited, signal);
    }
    terminal_->signals =
        descriptor(::signalfd(-1, &terminal_->awaited, SFD_CLOEXEC | SFD_NONBLOCK));
    if (terminal_->signals.get() < 0) {
        throw std::system_error(errno, std::generic_category(), "cannot wait for signals");
    }
    terminal_->screen = ::newterm(nullptr, stdout, stdin);
    if (terminal_->screen == nullptr) {
        fail("the terminal could not be set up");
    }
    ::sigprocmask(SIG_BLOCK, &terminal_->awaited, &terminal_->before);
    ::cbreak();
    ::noecho();
    ::nonl();
    ::intrflush(nullptr, FALSE);
    terminal_->window = stdscr;
    ::keypad(terminal_->window, TRUE);
    ::nodelay(terminal_->window, TRUE);
    ::set_escdelay(25);
    ::curs_set(0);
}

screen::~screen() {
    ::endwin();
    ::delscreen(terminal_->screen);
    ::sigprocmask(SIG_SETMASK, &terminal_->before, nullptr);
}

screen_size screen::size() const {
    return {.lines = static_cast<std::size_t>(std::max(::getmaxy(terminal_->window), 0)),
            .columns = static_cast<std::size_t>(std::max(::getmaxx(terminal_->window), 0))};
}

void screen::show(std::span<const top_line> lines) {
    WINDOW* const window = terminal_->window;
    ::werase(window);
    int y = 0;
    for (const top_line& line : lines) {
        ::wattrset(window, static_cast<int>(line.stands_out ? A_REVERSE : A_NORMAL));
        ::mvwaddstr(window, y, 0, line.text.c_str());
        ++y;
    }
    ::wrefresh(window);
}

std::optional<user_input> screen::next(std::chrono::steady_clock::time_point until) {
    using namespace std::chrono;
    for (;;) {
        // What was typed fast is there already.
        const int key = ::wgetch(terminal_->window);
        if (const auto meant = meaning_of(key)) {
            return meant;
        }
        if (key != ERR) {
            continue;
        }

        const auto left = ceil<milliseconds>(until - steady_clock::now());
        std::array<pollfd, 2> sources{pollfd{STDIN_FILENO, POLLIN, 0},
                                      pollfd{terminal_->signals.get(), POLLIN, 0}};
        const int ready = ::poll(sources.data(), sources.size(),
                                 static_cast<int>(std::max<milliseconds::rep>(left.count(), 0)));
        if (ready < 0) { // continued after Ctrl-Z, for instance
            return redraw_request{};
        }
        if (ready == 0) {
            return std::nullopt;
        }
        if (const auto asked = take_signal(terminal_->signals.get())) {
            return asked;
        }
        if ((static_cast<unsigned>(sources[0].revents) & (POLLHUP | POLLERR)) != 0) {
            return quit_request{};
        }
    }
}

} // namespace pinpin
