package events

import "time"

// LeastHistoryDays is how long the events of anything are kept whole after its last one, at the least (events.md 4.4).
// A deployment may keep them longer.
const LeastHistoryDays = 90

// LeastHistory is LeastHistoryDays as a duration: what is older may have been purged.
const LeastHistory = LeastHistoryDays * 24 * time.Hour
