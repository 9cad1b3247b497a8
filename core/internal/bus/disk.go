package bus

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// A diskSpace is a file system's size and what of it can still be written.
type diskSpace struct{ total, free uint64 }

func statDisk(dir string) (diskSpace, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return diskSpace{}, fmt.Errorf("free space of %s: %w", dir, err)
	}
	block := uint64(s.Bsize)
	return diskSpace{total: s.Blocks * block, free: s.Bavail * block}, nil
}
