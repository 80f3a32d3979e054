package twtr

import (
	"errors"
	"fmt"
)

// Code says what kind of error an [Error] is. The API maps each to one HTTP status; a Temporal activity that fails with
// a [Code.Final] one is not tried again.
type Code string

// The codes.
const (
	Malformed       Code = "malformed"         // the request can't be read
	Unauthenticated Code = "unauthenticated"   // nobody, or not who they claim to be
	Forbidden       Code = "forbidden"         // known, but not allowed
	NotFound        Code = "not-found"         // what was named doesn't exist
	WrongMethod     Code = "wrong-method"      // the resource exists, the method doesn't
	Conflict        Code = "conflict"          // somebody else has it
	TooLarge        Code = "too-large"         // more than we read
	Invalid         Code = "invalid"           // readable, but breaks a rule
	TooManyRequests Code = "too-many-requests" // slower, please
	Unavailable     Code = "unavailable"       // a dependency is away; the same call may work later
	Internal        Code = "internal"          // our fault; details are for the log only
)

// Final reports whether trying the same thing again can't help.
func (c Code) Final() bool {
	switch c {
	case Malformed, Unauthenticated, Forbidden, NotFound, WrongMethod, Conflict, TooLarge, Invalid:
		return true
	}
	return false
}

// Error is an error of the domain. Its message is safe to show to a user and names what they can do about it.
type Error struct {
	Code    Code
	Message string
	// Err is the cause, for the log. It may hold what a user must not see.
	Err error
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Message
	}
	return fmt.Sprintf("%s: %v", e.Message, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an [Error] without a cause.
func Errorf(code Code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// ErrorCode is the code of the [Error] in err's chain, [Internal] if there is none, and "" for nil.
func ErrorCode(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}
