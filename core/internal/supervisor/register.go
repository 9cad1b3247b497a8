package supervisor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk/control"
)

// start brings a process up: it has shaken hands, was found to be what was
// registered, and answers calls. Where anew is true, or nothing is registered
// yet, whatever it is now is registered.
func (p *plugin) start(ctx context.Context, anew bool) (*process, error) {
	if p.info().PID == 0 {
		p.set(starting, "")
	}
	r, m, sum, err := p.meet(ctx, anew)
	p.queue(ctx)
	var specs []config.ActionSpec
	if err == nil {
		if specs, err = p.admit(m, sum); err != nil {
			r.close()
			err = refusal{err}
		}
	}
	p.claims.Do(func() { close(p.claimed) })
	if err != nil {
		return nil, err
	}
	if !p.known() {
		// Flows may name what has never run yet, as they may what is away.
		p.register(m, specs, sum)
	}
	if err := p.connect(ctx, r, m); err != nil {
		r.close()
		p.left(r)
		p.tellEnded() // it may have taken calls already
		return nil, err
	}
	p.register(m, specs, sum)
	r.watch(ctx, p.s.o.Memory)
	return r, nil
}

// queue waits until those whose files come first have claimed their names, or
// have been refused, so that who has a name does not depend on who is faster.
func (p *plugin) queue(ctx context.Context) {
	if p.before == nil {
		return
	}
	select {
	case <-p.before.claimed:
	case <-ctx.Done():
	}
}

// meet takes the binary, starts it and asks it what it offers.
func (p *plugin) meet(ctx context.Context, anew bool) (*process, *control.Manifest, string, error) {
	// Others start meanwhile, but not all of them.
	select {
	case p.s.starting <- struct{}{}:
		defer func() { <-p.s.starting }()
	case <-ctx.Done():
		return nil, nil, "", ctx.Err()
	}
	binary, err := p.take(anew)
	if err != nil {
		return nil, nil, "", err
	}
	r, err := p.launch(ctx, binary)
	if err != nil {
		return nil, nil, "", p.unmet(ctx, err)
	}
	m, err := r.describe(ctx)
	if err != nil {
		return nil, nil, "", p.unmet(ctx, err)
	}
	return r, m, binary.sum, nil
}

// admit checks what a process says of itself, and gives the plugin its name.
func (p *plugin) admit(m *control.Manifest, sum string) ([]config.ActionSpec, error) {
	specs, err := actionsOf(m)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	before, known := p.manifest, p.sum
	p.mu.Unlock()
	if before != nil && before.GetName() != m.GetName() {
		return nil, fmt.Errorf("it was registered as %s and calls itself %s now", before.GetName(), m.GetName())
	}
	if before != nil && known == sum && before.GetVersion() != m.GetVersion() {
		return nil, fmt.Errorf("it was registered with version %s and has version %s now, though its binary is the same", before.GetVersion(), m.GetVersion())
	}
	if err := p.s.claim(p, m); err != nil {
		return nil, err
	}
	return specs, nil
}

// known tells whether the plugin is registered.
func (p *plugin) known() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.manifest != nil
}

// register makes what was admitted what the plugin is, and offers.
func (p *plugin) register(m *control.Manifest, specs []config.ActionSpec, sum string) {
	p.accepted = ""
	p.mu.Lock()
	known := p.manifest != nil && p.sum == sum
	p.manifest, p.specs, p.sum = m, specs, sum
	p.mu.Unlock()
	p.s.catalogue.put(m.GetName(), specs)
	if !known {
		log := p.s.o.Log.With("plugin", m.GetName())
		p.journal.named(log)
		log.Info("plugin registered", "version", m.GetVersion(), "actions", len(specs), "path", p.shown(), "sha256", sum)
	}
}

// connect makes a user of NATS for a process and has it answer calls.
func (p *plugin) connect(ctx context.Context, r *process, m *control.Manifest) error {
	actions := make([]string, len(m.GetActions()))
	for i, a := range m.GetActions() {
		actions[i] = a.GetName()
	}
	granting, cancel := context.WithTimeout(ctx, p.s.pace.answer)
	defer cancel()
	c, err := p.s.o.Broker.Grant(granting, m.GetName(), p.builtin, actions)
	if err != nil {
		err = fmt.Errorf("make a user of NATS for it: %w", err)
		if errors.Is(err, ErrNotAllowed) {
			err = refusal{err}
		}
		return err
	}
	r.revoke = c.Revoke
	if !c.Expires.IsZero() {
		r.renew = c.Expires.Add(-time.Until(c.Expires) / 4)
	}
	r.journal.hide(r.instance, c.Seed)
	err = r.begin(ctx, &c)
	var f *failure
	if errors.As(err, &f) && f.during == "Configure" && status.Code(f.err) == codes.InvalidArgument {
		return refusal{err}
	}
	return err
}
