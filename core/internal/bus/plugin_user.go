package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// ErrNoSigningKey says that no user can be made on an external NATS.
var ErrNoSigningKey = errors.New("the external NATS takes no users of our making: set bus.signing_key to a signing key of the account, " +
	"or plugins.share_credentials=true to hand the core's own credentials to every plugin")

// A PluginGrant says what a plugin's process may do on NATS. Whatever it does
// not name is refused by the server.
type PluginGrant struct {
	Plugin  string   // its name: [a-z][a-z0-9-]{0,31}
	Actions []string // those that it answers, named alike
	// ReplyWithin is how long after a call the process may answer it.
	ReplyWithin time.Duration
	// Durables are the consumers that it may take messages from and acknowledge.
	Durables []Durable
	// Trusted is a plugin that is part of the product: where NATS is external and
	// there is no signing key, it gets the core's own credentials.
	Trusted bool
}

// A Durable is a durable pull consumer of a stream.
type Durable struct{ Stream, Name string }

// A PluginUser is a user of NATS for a process of a plugin, and all that the
// process has to know of the bus.
type PluginUser struct {
	URLs []string
	JWT  string // empty: the seed alone is the user
	Seed string // a secret; empty where NATS is external and asks nobody who he is
	// Inbox is the prefix of the subjects on which the process takes answers.
	// No other process can subscribe to them.
	Inbox string
	// Requests is the subject of the plugin's requests to the core. NATS does not
	// look at the subject on which an answer is wanted, and the core may publish
	// everywhere: only such as begin with Inbox and a dot may be answered.
	Requests  string
	Endpoints []PluginEndpoint // one an action, as granted
	// Expires is when the server ends the user's connections and takes no more
	// of them; zero: never.
	Expires time.Time

	revoke func()
}

// A PluginEndpoint is where the calls of an action arrive.
type PluginEndpoint struct{ Action, Subject, Queue string }

// userLasts is how long a user on an external server can log in.
const userLasts = 24 * time.Hour

// Grant makes a user of NATS for one process of a plugin. It returns
// [ErrNoSigningKey] where NATS is external and does not let us.
func (b *Bus) Grant(ctx context.Context, g PluginGrant) (*PluginUser, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("grant plugin %q a user: %w", g.Plugin, context.Cause(ctx))
	}
	if err := g.check(); err != nil {
		return nil, fmt.Errorf("grant plugin %q a user: %w", g.Plugin, err)
	}
	user := &PluginUser{
		URLs: slices.Clone(b.options.URLs), Inbox: inboxPlugin(g.Plugin, rand.Text()), Requests: subjectRequests(g.Plugin),
		revoke: func() {},
	}
	for _, action := range g.Actions {
		user.Endpoints = append(user.Endpoints, PluginEndpoint{Action: action, Subject: subjectAction(g.Plugin, action), Queue: g.Plugin})
	}
	if err := b.identifyUser(user, g); err != nil {
		return nil, fmt.Errorf("grant plugin %q a user: %w", g.Plugin, err)
	}
	return user, nil
}

// Revoke ends the user: on the embedded server its connections are closed and
// it cannot come back, on an external one it ends when it expires.
func (u *PluginUser) Revoke() { u.revoke() }

// identifyUser makes the key of a user and tells the server of it.
func (b *Bus) identifyUser(user *PluginUser, g PluginGrant) error {
	if b.server == nil && b.mint == nil {
		if !g.Trusted && !b.options.ShareCredentials {
			return ErrNoSigningKey
		}
		var err error
		user.JWT, user.Seed, err = credentials(b.options.Creds)
		return err
	}
	pair, err := nkeys.CreateUser()
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	seed, err := pair.Seed()
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	key, err := pair.PublicKey()
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	user.Seed = string(seed)
	if b.server == nil {
		user.URLs = withoutUsers(user.URLs)
		user.Expires = time.Now().Add(userLasts).Truncate(time.Second)
		user.JWT, err = b.mint.user(key, "plugin "+g.Plugin, g.permissions(user.Inbox), user.Expires)
		return err
	}
	user.URLs = []string{b.server.url()}
	b.server.gate.admit(key, g.Plugin, g.permissions(user.Inbox))
	user.revoke = func() { b.server.gate.expel(key) }
	return nil
}

// check refuses what would be another subject than it looks like.
func (g *PluginGrant) check() error {
	if err := checkName("a plugin", g.Plugin); err != nil {
		return err
	}
	for i, action := range g.Actions {
		if err := checkName("an action", action); err != nil {
			return err
		}
		if slices.Contains(g.Actions[:i], action) {
			return fmt.Errorf("the action %q is named twice", action)
		}
	}
	for _, d := range g.Durables {
		if d.Stream == "" || d.Name == "" || !allPlain(d.Stream) || !allPlain(d.Name) {
			return fmt.Errorf("the durable %q of stream %q: want letters, digits, '-' and '_'", d.Name, d.Stream)
		}
	}
	if g.ReplyWithin <= 0 {
		return fmt.Errorf("answers within %v: want the longest time-out of a call", g.ReplyWithin)
	}
	return nil
}

// permissions are what the server holds the user to. That of a plugin's answers
// is given by each message that it gets: one, on the subject that it names.
func (g *PluginGrant) permissions(inbox string) *server.Permissions {
	publish := []string{subjectRequests(g.Plugin)}
	subscribe := append([]string{inbox + ".>"}, subjectsService(g.Plugin)...)
	for _, action := range g.Actions {
		subscribe = append(subscribe, subjectAction(g.Plugin, action)+" "+g.Plugin)
	}
	for _, d := range g.Durables {
		publish = append(publish, subjectsDurable(d)...)
	}
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: publish},
		Subscribe: &server.SubjectPermission{Allow: subscribe},
		Response:  &server.ResponsePermission{MaxMsgs: 1, Expires: g.ReplyWithin},
	}
}
