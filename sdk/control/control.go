// Package control is the control plane between the supervisor and the process
// of a plugin: a gRPC service over hashicorp/go-plugin. Plugin authors need
// package sdk only, which serves it; this package is for those who write the
// other side, or a plugin without the SDK.
package control

import (
	"context"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// The generators are protoc, protoc-gen-go v1.36.12 and protoc-gen-go-grpc v1.6.0.
//
//go:generate protoc -I . --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative control.proto

// Name is what a plugin's only service is called in the handshake.
const Name = "plugin"

// ProtocolVersion is that of the control service. A host speaks this one and
// the one before.
const ProtocolVersion = 1

// Handshake is what both sides must agree on. The cookie is no secret: it tells
// somebody who starts the binary by hand that it is a plugin.
var Handshake = plugin.HandshakeConfig{
	ProtocolVersion:  ProtocolVersion,
	MagicCookieKey:   "TRIBUTARY_PLUGIN",
	MagicCookieValue: "0b6c5d5f4f6c4a2e8d0e7f2d3a9b1c47",
}

// GRPC connects the service to go-plugin. Service is what a plugin serves; the
// supervisor leaves it nil and dispenses a [PluginClient].
type GRPC struct {
	plugin.NetRPCUnsupportedPlugin
	Service PluginServer
}

var (
	_ plugin.Plugin     = (*GRPC)(nil)
	_ plugin.GRPCPlugin = (*GRPC)(nil)
)

// GRPCServer implements plugin.GRPCPlugin.
func (g *GRPC) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	RegisterPluginServer(s, g.Service)
	return nil
}

// GRPCClient implements plugin.GRPCPlugin.
func (g *GRPC) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return NewPluginClient(c), nil
}
