package processor

import "testing"

func TestPartitionsSpreadOverTheNodes(t *testing.T) {
	const partitions = 1024
	nodes := []string{"a", "b", "c"}
	before := map[int]string{}
	count := map[string]int{}
	for p := range partitions {
		before[p] = ownerOf(p, nodes)
		count[before[p]]++
	}
	for node, n := range count {
		if n < partitions/4 || n > partitions/2 {
			t.Errorf("node %s owns %d of %d partitions", node, n, partitions)
		}
	}
	// Without c, the partitions of a and b stay where they are.
	for p := range partitions {
		if now := ownerOf(p, nodes[:2]); before[p] != "c" && now != before[p] {
			t.Errorf("partition %d moved from %s to %s", p, before[p], now)
		}
	}
	if got := ownerOf(1, nil); got != "" {
		t.Errorf("of no nodes %q is the owner", got)
	}
}
