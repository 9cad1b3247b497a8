package bus

import (
	"context"
	"fmt"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// PublishCommands appends commands that the core itself sends, in order in each
// partition. They have the room above what gateways may fill. It tries until
// all are acknowledged or the context ends, so a command may be stored more
// than once, but never first after one that follows it. They are durable with
// the next Checkpoint or Append.
func (b *Bus) PublishCommands(ctx context.Context, commands []record.Routed) error {
	err := b.inOrder(ctx, ordered{
		stream: streamIngest, n: len(commands),
		partition: func(i int) int { return commands[i].Partition },
		message: func(i int) *exchange {
			return &exchange{subject: subjectIngest(commands[i].Partition), data: commands[i].Command}
		},
	})
	if err != nil {
		return fmt.Errorf("publish commands: %w", err)
	}
	return nil
}
