package seen

// Runs that follow each other are merged in pairs of like size, so that their number grows with the logarithm of the ids,
// and an id is rewritten as often. A merge needs its result's space beside its inputs; that space is bounded too.

// smallMerge is how many tables' worth of ids may always be merged.
const smallMerge = 8

// pair picks the runs to merge of a generation whose runs, oldest first, hold these numbers of ids: i and i+1, or nothing.
// held is the number of ids in the whole set, table the number that a table in memory holds.
func pair(sizes []int64, held, table int64) (i int, ok bool) {
	for i = len(sizes) - 2; i >= 0; i-- {
		older, newer := sizes[i], sizes[i+1]
		result := older + newer
		if 2*newer > older && (2*result <= held || result <= smallMerge*table) {
			return i, true
		}
	}
	return 0, false
}
