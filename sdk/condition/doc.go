// Package condition compiles the product's conditions and templates.
//
// A condition is an expression of the Common Expression Language (CEL,
// https://github.com/google/cel-spec) over the variables of its [Scope]. The
// grammar is CEL's, read by its own parser; the meaning is CEL's with the
// product's null rule, evaluated by a tree of closures over the values of
// package sdk, without conversion:
//
//   - A missing field or index is null. A function or arithmetic of null is
//     null. Ordering with null or with another type is false. == and != compare
//     by value. Null is false as a condition — also as an operand of !, && and
//     || and before ? — and empty as a list.
//   - Integers, doubles and json.Number mix and compare as the decimals that
//     they are written as, exactly.
//   - A string beside a timestamp is read as RFC 3339 or a date; times have
//     milliseconds.
//   - An operator or function that meets a type it is not made for is a
//     run-time error; && and || decide without an operand that failed where
//     the other one settles the answer.
//
// What a condition can cost is bounded when it is compiled, and once more
// while it runs. [Program.Predicate] lowers a condition to a closed tree that
// a query store can translate, or says why it cannot be searched.
package condition
