package processor

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/tributary-bus/tributary/core/internal/bus"
)

// renewEvery is how often a node says that it is alive: often enough that one
// lost message does not make it seem dead.
const renewEvery = bus.NodeTTL / 3

// share runs the partitions that fall to this node, and follows the nodes that
// come and go. It spreads the work; what keeps two owners apart is the
// conditional commit alone.
func (n *Processor) share(ctx context.Context, stopping func() bool) error {
	members := n.bus.Membership()
	defer func() {
		leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := members.Leave(leave); err != nil {
			n.log.Warn("the other nodes are not told that this one stops; they find out in some seconds", "error", err)
		}
	}()
	running := map[int]context.CancelFunc{}
	var owners sync.WaitGroup
	defer owners.Wait()
	defer func() {
		for _, stop := range running {
			stop()
		}
	}()
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		nodes, err := members.Renew(ctx)
		if err != nil && ctx.Err() == nil {
			n.log.Warn("cannot tell which nodes are alive; keeping the partitions", "error", err)
		}
		if err == nil {
			for number := range n.standing {
				mine := ownerOf(number, nodes) == members.Node()
				stop, runs := running[number]
				switch {
				case mine && !runs:
					own, cancel := context.WithCancel(ctx)
					running[number] = cancel
					owners.Go(func() {
						// own returns when it is told to, without an error.
						_ = n.own(own, number, stopping)
					})
				case !mine && runs:
					stop()
					delete(running, number)
				}
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// ownerOf is the node that a partition falls to: the one with the highest hash
// of both, so that a node that goes moves its own partitions only.
func ownerOf(partition int, nodes []string) string {
	if len(nodes) == 0 {
		return ""
	}
	return slices.MaxFunc(nodes, func(a, b string) int {
		x, y := weigh(partition, a), weigh(partition, b)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
}

func weigh(partition int, node string) uint64 {
	return xxhash.Sum64String(fmt.Sprintf("%d/%s", partition, node))
}
