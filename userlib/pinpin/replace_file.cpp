// SPDX-License-Identifier: MIT
#include "replace_file.hpp"

#include "descriptor.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pinpin {

namespace {

bool write_all(int file, std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = ::write(file, text.data(), text.size());
        if (written < 0 && errno != EINTR) {
            return false;
        }
        text.remove_prefix(written < 0 ? 0 : static_cast<std::size_t>(written));
    }
    return true;
}

} // namespace

void replace_file(const std::string& path, std::string_view text) {
    static constexpr mode_t mode = 0644;
    const auto fail = [&](int reason) {
        throw std::system_error(reason, std::generic_category(), "cannot write " + path);
    };
    // Beside it, since only there a rename is atomic. Its name does not end as the file's, by
    // which a reader of the directory would know it.
    std::string beside = path + ".XXXXXX";
    const descriptor file(::mkostemp(beside.data(), O_CLOEXEC));
    if (file.get() < 0) {
        fail(errno);
    }
    if (!write_all(file.get(), text) || ::fchmod(file.get(), mode) != 0 ||
        ::fsync(file.get()) != 0 || ::rename(beside.c_str(), path.c_str()) != 0) {
        const int reason = errno;
        ::unlink(beside.c_str());
        fail(reason);
    }
}

} // namespace pinpin
