package bus

import (
	"encoding/base64"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// A gate decides who may connect to the embedded server, by the signature that
// a client gives of the server's nonce: the core, and whoever else has its
// seed, may do everything; a plugin's user what it was granted. Users come and
// go without the server being configured anew, and outlast its restarts.
type gate struct {
	core     string // public key
	violated func(plugin, text string)

	mu      sync.Mutex
	server  *server.Server
	users   map[string]*admitted // by public key
	clients map[uint64]*admitted // by the server's number of the connection
}

// An admitted is a plugin's user.
type admitted struct {
	plugin      string
	permissions *server.Permissions
	clients     []uint64 // its connections; some may be gone
}

var _ server.Authentication = (*gate)(nil)

// newGate admits the core only. violated is called by the server where a
// plugin tries what it was not granted, and holds up that plugin's connection.
func newGate(core string, violated func(plugin, text string)) *gate {
	return &gate{core: core, violated: violated, users: map[string]*admitted{}, clients: map[uint64]*admitted{}}
}

// guard says which server it is the gate of, before that is started: a new one
// numbers its connections anew.
func (g *gate) guard(s *server.Server) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.server = s
	clear(g.clients)
	for _, user := range g.users {
		user.clients = nil
	}
}

// admit lets in whoever has the seed of a public key.
func (g *gate) admit(key, plugin string, permissions *server.Permissions) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.users[key] = &admitted{plugin: plugin, permissions: permissions}
}

// expel forgets a user and closes its connections.
func (g *gate) expel(key string) {
	g.mu.Lock()
	user, s := g.users[key], g.server
	delete(g.users, key)
	var clients []uint64
	if user != nil {
		clients = user.clients
	}
	for _, id := range clients {
		delete(g.clients, id)
	}
	g.mu.Unlock()
	for _, id := range clients {
		_ = s.DisconnectClientByID(id) // fails where it is gone already
	}
}

// Check is called by the server for each connection.
func (g *gate) Check(c server.ClientAuthentication) bool {
	options := c.GetOpts()
	if !signed(options.Nkey, options.Sig, c.GetNonce()) {
		return false
	}
	if options.Nkey == g.core {
		c.RegisterUser(&server.User{})
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	user := g.users[options.Nkey]
	if user == nil {
		return false
	}
	left := user.clients[:0]
	for _, id := range user.clients {
		if g.server.GetClient(id) == nil {
			delete(g.clients, id)
			continue
		}
		left = append(left, id)
	}
	user.clients = left
	if len(left) >= userConnections {
		return false
	}
	user.clients = append(left, c.GetID())
	g.clients[c.GetID()] = user
	c.RegisterUser(&server.User{Permissions: user.permissions})
	return true
}

// userConnections bounds the connections of one plugin's process, which needs one.
const userConnections = 8

// saw tells of what a connection tried, and returns false where it is not a
// plugin's.
func (g *gate) saw(client uint64, text string) bool {
	g.mu.Lock()
	user := g.clients[client]
	g.mu.Unlock()
	if user == nil {
		return false
	}
	g.violated(user.plugin, text)
	return true
}

// signed tells whether a signature of a nonce was made with the seed of a
// user's public key.
func signed(key, signature string, nonce []byte) bool {
	if len(nonce) == 0 || !nkeys.IsValidPublicUserKey(key) {
		return false
	}
	raw, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		if raw, err = base64.StdEncoding.DecodeString(signature); err != nil {
			return false
		}
	}
	pair, err := nkeys.FromPublicKey(key)
	return err == nil && pair.Verify(nonce, raw) == nil
}
