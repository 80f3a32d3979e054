package twtr

import (
	"log/slog"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"
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
	Username             string // as [FoldUsername] returns it
	Password             string // as [NormalizePassword] returns it
	PasswordConfirmation string // the same
	Email                string
	DisplayName          string
}

// Validate returns an [Invalid] error that names all rules that the fields break.
func (s SignUp) Validate() error {
	return JoinInvalid(
		validateNewUsername("username", s.Username),
		ValidatePassword("password", s.Password),
		s.validateConfirmation(),
		validateEmail("email", s.Email),
		validateDisplayName("displayName", s.DisplayName),
	)
}

func (s SignUp) validateConfirmation() error {
	if s.Password != s.PasswordConfirmation {
		return InvalidField("passwordConfirmation", "must be the same as password")
	}
	return nil
}

// LogValue keeps the password and the e-mail address out of logs.
func (s SignUp) LogValue() slog.Value { return slog.StringValue(s.Username) }

// PasswordChange replaces a user's password.
type PasswordChange struct {
	Username         string
	OldHash, NewHash string
	// Keep is the family of the one session that stays.
	Keep uuid.UUID
}

// LogValue keeps the password hashes out of logs.
func (c PasswordChange) LogValue() slog.Value { return slog.StringValue(c.Username) }

// MaxUsername is the maximum length of a username, in characters, which are single bytes.
const MaxUsername = 16

// FoldUsername returns the name in lower case: names that differ in case alone are one name. Only letters A–Z are folded, so a
// name that looks like another one is not taken for it.
func FoldUsername(name string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}, name)
}

// ValidateUsername returns an [Invalid] error that names the field, unless name consists of 1 to 16 letters a–z, digits, "_" and
// "-".
func ValidateUsername(field, name string) error {
	if err := validateLength(field, name, 1, MaxUsername); err != nil {
		return err
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return InvalidField(field, "may contain only the letters a-z, digits, _ and -")
		}
	}
	return nil
}

// reservedNames are those that a user could be mistaken for the service by, and those that clients and paths have another use
// for. Names taken before a name came onto the list stay.
var reservedNames = []string{
	"abuse", "admin", "administrator", "all", "anonymous", "api", "authorize", "deliveries", "docs", "everyone", "false", "feeds",
	"follow", "help", "here", "info", "login", "logout", "mail", "me", "moderator", "nil", "nobody", "none", "null", "postmaster",
	"refresh", "root", "security", "self", "settings", "signup", "staff", "status", "support", "system", "true", "tweets", "twtr",
	"undefined", "users", "webmaster", "www",
}

func validateNewUsername(field, name string) error {
	if slices.Contains(reservedNames, name) {
		return InvalidField(field, "must be another name: %s is reserved", name)
	}
	return ValidateUsername(field, name)
}

// The lengths of a password, in characters. NIST SP 800-63B asks for at least 8, and that 64 are allowed.
const (
	minPassword = 8
	maxPassword = 128
)

// NormalizePassword returns the password in the one form that is counted, hashed and compared (NFC, as RFC 8265 asks): keyboards
// and systems differ in how they compose the same characters.
func NormalizePassword(password string) string { return norm.NFC.String(password) }

// ValidatePassword returns an [Invalid] error that names the field and the rule that a normalized, new password breaks.
func ValidatePassword(field, password string) error {
	return validateLength(field, password, minPassword, maxPassword)
}

// validateEmail accepts a single address without a display name, as net/mail parses it (RFC 5322), of at most 254 characters
// (RFC 5321, 4.5.3.1.3).
func validateEmail(field, email string) error {
	if err := validateLength(field, email, 3, 254); err != nil {
		return err
	}
	if a, err := mail.ParseAddress(email); err != nil || a.Address != email {
		return InvalidField(field, "must be an e-mail address like name@example.com")
	}
	return nil
}

func validateDisplayName(field, name string) error {
	if err := validateLength(field, name, 1, 16); err != nil {
		return err
	}
	if strings.ContainsFunc(name, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) || isBidiFormat(r) }) {
		return InvalidField(field, "must not have control characters, line breaks or characters that change the direction of text")
	}
	return validateVisible(field, name)
}
