package twtr

import (
	"errors"
	"fmt"
	"strings"
)

// Code is the kind of an [Error]. The API maps each code to one HTTP status. A Temporal activity that fails with a
// [Code.Permanent] one is not retried.
type Code string

// The codes.
const (
	Malformed       Code = "malformed"         // the request can't be parsed
	Unauthenticated Code = "unauthenticated"   // no valid credentials
	Forbidden       Code = "forbidden"         // authenticated, but not allowed
	NotFound        Code = "not-found"         // the named resource does not exist
	WrongMethod     Code = "wrong-method"      // the resource exists, the method doesn't
	Conflict        Code = "conflict"          // another user or request came first
	TooLarge        Code = "too-large"         // the request exceeds a size limit
	Unsupported     Code = "unsupported"       // the body's encoding is none that twtr reads
	TooSlow         Code = "too-slow"          // the request did not arrive in time
	Invalid         Code = "invalid"           // well-formed, but breaks a rule
	TooManyRequests Code = "too-many-requests" // rate limited
	Unavailable     Code = "unavailable"       // a dependency is unavailable; a retry may succeed
	Internal        Code = "internal"          // a fault of twtr's; details only go to the log
)

// Permanent reports whether a retry cannot succeed.
func (c Code) Permanent() bool {
	switch c {
	case Malformed, Unauthenticated, Forbidden, NotFound, WrongMethod, Conflict, TooLarge, Unsupported, Invalid:
		return true
	}
	return false
}

// Error is an error of the domain. Its message is safe to show to a user and says what they can do.
type Error struct {
	Code    Code
	Message string
	// Fields are the rules that fields of the request break, if that is the error. Message has all of them.
	Fields []FieldError
	// Err is the cause, for the log. It may contain details that a user must not see.
	Err error
}

// FieldError is a rule that a field of a request breaks.
type FieldError struct {
	Field string `json:"field"`
	// Message is a sentence that begins with the field's name.
	Message string `json:"error"`
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

// InvalidField makes an [Invalid] error; the rule continues a sentence that begins with the field's name.
func InvalidField(field, rule string, args ...any) error {
	message := field + " " + fmt.Sprintf(rule, args...)
	return &Error{Code: Invalid, Message: message, Fields: []FieldError{{field, message}}}
}

// JoinInvalid returns one [Invalid] error that names every rule that is broken, nil if none is. Each of the errors is one of
// [InvalidField], or nil.
func JoinInvalid(errs ...error) error {
	all := Error{Code: Invalid}
	for _, err := range errs {
		if e, ok := errors.AsType[*Error](err); ok {
			all.Fields = append(all.Fields, e.Fields...)
		}
	}
	if len(all.Fields) == 0 {
		return nil
	}
	sentences := make([]string, len(all.Fields))
	for i, f := range all.Fields {
		sentences[i] = f.Message
	}
	all.Message = strings.Join(sentences, "; ")
	return &all
}

// ErrorCode returns the code of the [Error] in err's chain, [Internal] if there is none, and "" for nil.
func ErrorCode(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}
