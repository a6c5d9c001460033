// SPDX-License-Identifier: MIT
#include "registration_table.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace longpin::detail {

registration_entry* registration_table::find(const page_span& pages, bool writable) noexcept {
    const auto look = [&](const registration_entry::index& in) -> registration_entry* {
        // Of those that begin no later, the last one reaches farthest.
        const auto behind = in.upper_bound(pages.begin);
        if (behind == in.begin()) {
            return nullptr;
        }
        registration_entry* const last = std::prev(behind)->second;
        return last->pages.covers(pages) ? last : nullptr;
    };
    registration_entry* const found = look(writable_);
    return found != nullptr || writable ? found : look(readable_);
}

page_span registration_table::merged(const page_span& pages, bool writable) const {
    const registration_entry::index& in = writable ? writable_ : readable_;
    page_span whole = pages;
    for (auto at = in.upper_bound(pages.end); at != in.begin();) {
        const page_span& neighbour = (--at)->second->pages;
        if (neighbour.end < pages.begin) {
            break; // as do all before it
        }
        whole.begin = std::min(whole.begin, neighbour.begin);
        whole.end = std::max(whole.end, neighbour.end);
    }
    return whole.size() <= options_.merge_limit ? whole : pages;
}

registration_table::entries registration_table::begin(const page_span& pages, bool writable) {
    entries made;
    registration_entry& entry = made.emplace_back();
    entry.id = ++last_id_;
    entry.pages = pages;
    entry.writable = writable;
    entry.users = 1;
    registration_entry::index place{{pages.begin, &entry}};
    entry.place = place.extract(place.begin());
    by_id_.emplace(entry.id, made.begin());
    return made;
}

void registration_table::supersede(registration_entry::index& by, const page_span& pages,
                                   entries& ended) noexcept {
    for (auto next = by.lower_bound(pages.begin); next != by.end();) {
        registration_entry& entry = *(next++)->second; // which goes
        if (!pages.covers(entry.pages)) {
            break; // as do all behind it
        }
        unlist(entry, counters_.superseded, ended);
    }
}

void registration_table::enter(entries& made, entries& ended) noexcept {
    registration_entry& entry = made.front();
    ++counters_.made;
    ++counters_.entries;
    counters_.bytes += entry.pages.size();
    if (find(entry.pages, entry.writable) != nullptr) {
        ++counters_.superseded;
        ++counters_.retired;
    } else {
        supersede(readable_, entry.pages, ended);
        if (entry.writable) {
            supersede(writable_, entry.pages, ended);
        }
        index_of(entry.writable).insert(std::move(entry.place));
        entry.listed = true;
    }
    busy_.splice(busy_.end(), made);
}

void registration_table::abandon(const entries& made) noexcept {
    by_id_.erase(made.front().id);
}

void registration_table::use(registration_entry& entry) noexcept {
    if (entry.users++ == 0) {
        busy_.splice(busy_.end(), idle_, by_id_.find(entry.id)->second);
    }
}

void registration_table::let_go(registration_entry& entry, entries& ended) noexcept {
    if (--entry.users != 0) {
        return;
    }
    idle_.splice(idle_.end(), busy_, by_id_.find(entry.id)->second);
    if (!entry.listed) {
        --counters_.retired;
        end(entry, ended);
    }
}

void registration_table::invalidate(std::uint64_t id, entries& ended) noexcept {
    if (const auto found = by_id_.find(id); found != by_id_.end()) {
        invalidate(*found->second, ended);
    }
}

void registration_table::invalidate(registration_entry& entry, entries& ended) noexcept {
    entry.valid.store(false, std::memory_order_release);
    if (entry.listed) {
        unlist(entry, counters_.invalidations, ended);
    }
}

// Lets an entry that is listed be found no more, for what \p counter counts.
void registration_table::unlist(registration_entry& entry, std::uint64_t& counter,
                                entries& ended) noexcept {
    entry.place = index_of(entry.writable).extract(entry.pages.begin);
    entry.listed = false;
    ++counter;
    if (entry.users == 0) {
        end(entry, ended);
    } else {
        ++counters_.retired;
    }
}

// Ends an entry that is idle and not listed.
void registration_table::end(registration_entry& entry, entries& ended) noexcept {
    const auto found = by_id_.find(entry.id);
    --counters_.entries;
    counters_.bytes -= entry.pages.size();
    ended.splice(ended.end(), idle_, found->second);
    by_id_.erase(found);
}

bool registration_table::evict(entries& ended) noexcept {
    if (idle_.empty()) {
        return false;
    }
    unlist(idle_.front(), counters_.evictions, ended);
    return true;
}

void registration_table::trim(entries& ended) noexcept {
    while (counters_.entries > options_.max_entries || counters_.bytes > options_.max_bytes) {
        if (!evict(ended)) {
            return;
        }
    }
}

void registration_table::clear(entries& ended) noexcept {
    for (registration_entry::index* const listed : {&readable_, &writable_}) {
        while (!listed->empty()) {
            unlist(*listed->begin()->second, counters_.evictions, ended);
        }
    }
}

} // namespace longpin::detail
