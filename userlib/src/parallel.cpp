// SPDX-License-Identifier: MIT
#include <longpin/parallel.hpp>

#include <longpin/size.hpp>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <csignal>
#include <exception>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include <pthread.h>
#include <sched.h>

namespace longpin {

namespace {

constexpr std::size_t smallest_piece = std::size_t{2} << 20U;
constexpr std::size_t largest_piece = std::size_t{1} << 30U;

// So that a thread whose pieces were the cheaper ones has more to take.
constexpr std::size_t pieces_a_thread = 4;

unsigned usable_processors() {
    cpu_set_t usable;
    if (::sched_getaffinity(0, sizeof(usable), &usable) == 0) {
        return static_cast<unsigned>(std::max(CPU_COUNT(&usable), 1));
    }
    return std::max(std::thread::hardware_concurrency(), 1U); // too many for the set
}

template <typename Byte>
std::vector<std::span<Byte>> cut(std::span<Byte> range, unsigned threads) {
    const std::size_t size = std::clamp(std::bit_floor(range.size() / threads / pieces_a_thread),
                                        smallest_piece, largest_piece);
    std::vector<std::span<Byte>> pieces;
    do {
        // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): to find a multiple
        const std::size_t into = reinterpret_cast<std::uintptr_t>(range.data()) % size;
        const std::size_t length = std::min(size - into, range.size());
        pieces.push_back(range.first(length));
        range = range.subspan(length);
    } while (!range.empty());
    return pieces;
}

result<pin> take(const device& from, std::span<const std::byte> piece, const pin_options& options) {
    return from.try_pin(piece, options);
}

result<pin> take(const device& from, std::span<std::byte> piece, const pin_options& options) {
    return from.try_pin_writable(piece, options);
}

// Pieces that several threads pin. They take them in order: so when one is refused, all before it
// were taken, and will be known to be pinned or refused.
template <typename Byte>
class job {
public:
    job(const device& from, std::span<Byte> range, unsigned threads,
        const parallel_options& options)
        : from_(from), options_(options), total_(range.size()), pieces_(cut(range, threads)),
          pins_(pieces_.size()) {}

    [[nodiscard]] std::size_t pieces() const { return pieces_.size(); }

    // Until there is no piece left. For each of the threads.
    void work() noexcept {
        while (!over_) {
            const std::size_t number = next_++;
            if (number >= pieces_.size()) {
                return;
            }
            try {
                keep(number, take(from_, pieces_[number], options_.pins));
            } catch (...) {
                const std::scoped_lock lock(mutex_);
                thrown_ = std::current_exception();
                over_ = true;
            }
        }
    }

    // When all threads are done. What was pinned and isn't given out ends with the object.
    result<std::vector<pin>> outcome() {
        if (thrown_) {
            std::rethrow_exception(thrown_);
        }
        if (refusal_) {
            return *std::move(refusal_);
        }
        std::vector<pin> pins;
        pins.reserve(pins_.size());
        for (std::optional<pin>& one : pins_) {
            pins.push_back(*std::move(one));
        }
        return pins;
    }

private:
    void keep(std::size_t number, result<pin> taken) {
        const std::scoped_lock lock(mutex_);
        if (!taken) {
            refuse(number, taken.error());
            return;
        }
        pins_[number] = std::move(*taken);
        done_ += pieces_[number].size();
        if (!over_ && options_.progress && !options_.progress(done_, total_)) {
            refuse(pieces_.size(), error(ECANCELED, "pin " + format_size(total_),
                                         "the program gave up while it was under way"));
        }
    }

    void refuse(std::size_t number, const error& why) {
        over_ = true;
        if (!refusal_ || number < refused_) {
            refusal_ = why;
            refused_ = number;
        }
    }

    const device& from_;
    const parallel_options& options_;
    std::uint64_t total_;
    std::vector<std::span<Byte>> pieces_;
    std::atomic<std::size_t> next_ = 0;
    std::atomic<bool> over_ = false; // no more pieces are to be taken

    std::mutex mutex_; // for all that follows
    std::vector<std::optional<pin>> pins_;
    std::uint64_t done_ = 0;
    std::optional<error> refusal_;
    std::size_t refused_ = 0; // the piece
    std::exception_ptr thrown_;
};

// Threads that are made meanwhile don't get the program's signals.
class signals_blocked {
public:
    signals_blocked() {
        sigset_t all;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    signals_blocked(const signals_blocked&) = delete;
    signals_blocked& operator=(const signals_blocked&) = delete;
    signals_blocked(signals_blocked&&) = delete;
    signals_blocked& operator=(signals_blocked&&) = delete;
    ~signals_blocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
    sigset_t before_{};
};

template <typename Byte>
result<std::vector<pin>> pin_pieces(const device& from, std::span<Byte> range,
                                    const parallel_options& options) {
    const unsigned threads = options.threads > 0 ? options.threads : usable_processors();
    job<Byte> job(from, range, threads, options);
    {
        const std::size_t wanted = std::min<std::size_t>(threads, job.pieces()) - 1;
        std::vector<std::jthread> helpers;
        try {
            const signals_blocked while_they_are_made;
            while (helpers.size() < wanted) {
                helpers.emplace_back([&job] { job.work(); });
            }
        } catch (const std::system_error&) { // NOLINT(bugprone-empty-catch): fewer will do
        }
        job.work();
    }
    return job.outcome();
}

} // namespace

std::vector<pin> pin_parallel(const device& from, std::span<const std::byte> range,
                              const parallel_options& options) {
    return try_pin_parallel(from, range, options).value();
}

result<std::vector<pin>> try_pin_parallel(const device& from, std::span<const std::byte> range,
                                          const parallel_options& options) {
    return pin_pieces(from, range, options);
}

std::vector<pin> pin_parallel_writable(const device& from, std::span<std::byte> range,
                                       const parallel_options& options) {
    return try_pin_parallel_writable(from, range, options).value();
}

result<std::vector<pin>> try_pin_parallel_writable(const device& from, std::span<std::byte> range,
                                                   const parallel_options& options) {
    return pin_pieces(from, range, options);
}

} // namespace longpin
