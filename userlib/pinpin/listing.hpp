// SPDX-License-Identifier: MIT
// Rows and columns, for people.
#pragma once

#include "output.hpp"

#include <cstddef>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pinpin {

/// How wide what is printed there may be: as wide as the terminal, or 80 columns.
std::size_t width_of(const std::ostream& out);

/// What a table shows of each field.
std::vector<std::string> to_cells(const record& fields);

/// A table that is printed while it is filled: after the first thousand rows the widths of the
/// columns are settled, and from then on each row is printed as it comes.
///
/// It fits into a width by leaving out the beginning of what stands in one column, the one that may
/// be cut; if that is not enough, it is wider.
class listing {
public:
    struct column {
        std::string head;
        bool to_the_right = false; ///< numbers
        bool may_be_cut = false;   ///< one column at most
        std::string_view usual;    ///< it is left out if each row says that when the widths are
                                   ///< settled; empty: never. One column at most
    };

    struct layout {
        bool with_heads = true;
        std::size_t width = 80; ///< 0: any
    };

    /// \param out  where it goes; must live until finish()
    listing(std::ostream& out, std::vector<column> columns, const layout& shape);

    /// One more row, with a cell for each column.
    void add(std::vector<std::string> cells);

    /// Prints what is still to be printed. Heads stand above rows only: an empty table prints
    /// nothing.
    void finish();

private:
    void settle();
    void leave_out_what_is_usual();
    void leave_out(std::vector<std::string>& cells) const;
    [[nodiscard]] std::string line(const std::vector<std::string>& cells) const;

    std::ostream& out_;
    std::vector<column> columns_;
    layout shape_;
    bool settled_ = false;
    std::optional<std::ptrdiff_t> left_out_;        // the column, by its place
    std::vector<std::vector<std::string>> waiting_; // until the widths are settled
    std::vector<std::size_t> widths_;
    std::size_t most_ = 0; // that may stand in the column that may be cut
    std::size_t gap_ = 2;
};

} // namespace pinpin
