package twtr

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// validateLength counts characters (code points), not bytes.
func validateLength(field, value string, least, most int) error {
	if value == "" {
		return InvalidField(field, "must not be empty")
	}
	if n := utf8.RuneCountInString(value); n < least || n > most {
		return InvalidField(field, "must have %d to %d characters, not %d", least, most, n)
	}
	return nil
}

// validateVisible returns an [Invalid] error if the text has nothing that a reader could see.
func validateVisible(field, text string) error {
	if strings.IndexFunc(text, isVisible) < 0 {
		return InvalidField(field, "must have a visible character")
	}
	return nil
}

// brailleBlank is a symbol by its category, and looks like a space.
const brailleBlank = '\u2800'

// isVisible reports whether a character leaves ink. One that Unicode had not assigned when this was compiled does: it may be a new
// emoji. Joiners and variation selectors are invisible on their own, and belong in emoji.
func isVisible(r rune) bool {
	return r != brailleBlank && !unicode.In(r, unicode.White_Space, unicode.Z, unicode.Cc, unicode.Cf,
		unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// isBidiFormat reports whether a character changes the direction of the text after it, also beyond the end of a name.
func isBidiFormat(r rune) bool {
	return '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069'
}

func isLineBreak(r rune) bool { return r == '\n' || r == '\r' }
