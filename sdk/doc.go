// Package sdk is what plugins are made with, and the data model of Tributary:
// events, profiles, sessions and the JSON values they are made of.
//
// A plugin is a program whose main function calls [Serve] with a [Plugin]. Its
// actions, made by [NewAction] from a function each, are what the nodes of flows
// can ask for.
//
// A value is one of nil, bool, string, int64, float64, [json.Number], []any or
// map[string]any. An integer literal that fits an int64 is an int64; any other
// number that a float64 reproduces digit for digit is a float64; what neither
// can hold exactly stays a json.Number, so no digit that a client sent is lost.
package sdk
