// SPDX-License-Identifier: MIT
#include <longpin/cause.hpp>

namespace longpin {

std::string_view name(cause what) noexcept {
    switch (what) {
    case cause::unpin: return "unpin";
    case cause::close: return "close";
    case cause::unmap: return "unmap";
    case cause::invalidate: return "invalidate";
    case cause::exit: return "exit";
    case cause::let_go: return "let_go";
    case cause::write_protect: return "write_protect";
    }
    return "unknown";
}

} // namespace longpin
