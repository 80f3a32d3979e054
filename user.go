package twtr

import (
	"log/slog"
	"net/mail"
	"strings"
	"time"
	"unicode/utf8"
)

// User is a registered user.
type User struct {
	Username     string
	Email        string
	DisplayName  string
	PasswordHash string
	CreatedAt    time.Time // UTC, whole milliseconds
}

// LogValue keeps the e-mail address and the password hash out of logs.
func (u User) LogValue() slog.Value { return slog.StringValue(u.Username) }

// SignUp is a request to become a [User].
type SignUp struct {
	Username             string
	Password             string
	PasswordConfirmation string
	Email                string
	DisplayName          string
}

// Validate returns an [Invalid] error that names the first invalid field and the rule it breaks.
func (s SignUp) Validate() error {
	if err := ValidateUsername("username", s.Username); err != nil {
		return err
	}
	if err := validateLength("password", s.Password, 8, 32); err != nil {
		return err
	}
	if s.Password != s.PasswordConfirmation {
		return Errorf(Invalid, "passwordConfirmation must be the same as password")
	}
	if err := validateEmail(s.Email); err != nil {
		return err
	}
	if err := validateLength("displayName", s.DisplayName, 1, 16); err != nil {
		return err
	}
	if strings.TrimSpace(s.DisplayName) == "" {
		return Errorf(Invalid, "displayName must not be white space alone")
	}
	return nil
}

// LogValue keeps the password and the e-mail address out of logs.
func (s SignUp) LogValue() slog.Value { return slog.StringValue(s.Username) }

// MaxUsername is the maximum length of a username, in characters, which are single bytes.
const MaxUsername = 16

// ValidateUsername returns an [Invalid] error that names the field, unless name consists of 1 to 16 letters a–z and A–Z, digits,
// "_" and "-". Names are case-sensitive.
func ValidateUsername(field, name string) error {
	if err := validateLength(field, name, 1, MaxUsername); err != nil {
		return err
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return Errorf(Invalid, "%s must be of letters a-z and A-Z, digits, _ and -", field)
		}
	}
	return nil
}

// validateEmail accepts a single address without a display name, as net/mail parses it (RFC 5322), of at most 254 characters
// (RFC 5321, 4.5.3.1.3).
func validateEmail(email string) error {
	if err := validateLength("email", email, 3, 254); err != nil {
		return err
	}
	if a, err := mail.ParseAddress(email); err != nil || a.Address != email {
		return Errorf(Invalid, "email must be an e-mail address like name@example.com")
	}
	return nil
}

// validateLength counts characters (code points), not bytes.
func validateLength(field, value string, least, most int) error {
	if value == "" {
		return Errorf(Invalid, "%s must not be empty", field)
	}
	if n := utf8.RuneCountInString(value); n < least || n > most {
		return Errorf(Invalid, "%s must have %d to %d characters, not %d", field, least, most, n)
	}
	return nil
}
