package flow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// own carries out one of the engine's own nodes. It changes nothing but what the
// result says, apart from core/log, which writes a line, and conditions that failed,
// which are told.
func own(ctx context.Context, log func(*config.FlowNode) *slog.Logger, failed func(*config.FlowNode, error), node *config.FlowNode, payload value, vars *condition.Vars) result {
	r := result{port: config.PortDone, payload: payload, attempts: 1}
	switch node.Action {
	case actionIf:
		// A condition that fails on what it sees does not hold, as everywhere.
		holds, err := node.If.Bool(vars)
		if err != nil {
			failed(node, err)
		}
		if r.port = config.PortFalse; holds {
			r.port = config.PortTrue
		}
	case actionSwitch:
		r.port = config.PortDefault
		for _, c := range node.Switch {
			holds, err := c.When.Bool(vars)
			if err != nil {
				failed(node, err)
			}
			if holds {
				r.port = c.Port
				break
			}
		}
	case actionJoin:
	case actionResult:
		v, err := node.Result.Value(vars)
		if err != nil {
			r.err = err
			break
		}
		r.response, r.answered = value{text: sdk.AppendValue(nil, v)}, true // not what later nodes may change
	case actionLog:
		text, err := node.Log.Message.Value(vars)
		if err != nil {
			r.err = err
			break
		}
		var level slog.Level
		// The definition allows only what UnmarshalText reads.
		_ = level.UnmarshalText([]byte(node.Log.Level))
		log(node).Log(ctx, level, textOf(text))
	case actionFail:
		text, err := node.Fail.Value(vars)
		if err == nil {
			err = errors.New(textOf(text))
		}
		r.err, r.fatal = err, true
	default:
		r.err = fmt.Errorf("there is no action %s", node.Action)
	}
	return r
}

// textOf is a rendered value as a text.
func textOf(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return string(sdk.AppendValue(nil, v))
}
