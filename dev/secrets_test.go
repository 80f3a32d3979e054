package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"regexp"

	"github.com/stretchr/testify/require"
)

var refreshTokens = regexp.MustCompile(`"refreshToken":"([^"]+)"`)

// remember keeps the tokens of an answer, to look for them in what must not have them.
func (s *stack) remember(content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, token := range refreshTokens.FindAllSubmatch(content, -1) {
		if len(s.secrets) < 20 { // of a test with thousands of them some are enough
			s.secrets = append(s.secrets, string(token[1]))
		}
	}
}

// checkSecrets looks through everything that Temporal's database holds after a test, histories, memos and search
// attributes alike, and through the log, for secrets: each test may leave some in a place of its own.
func (s *stack) checkSecrets(file string) {
	// The passwords and the addresses of all test users, any password hash, and the header of any access token of ours.
	needles := [][]byte{[]byte("correct horse"), []byte("correct battery"), []byte("battery staple"), []byte("@example.com"), []byte("$argon2id"), []byte("eyJhbGciOi")}
	s.mu.Lock()
	for _, secret := range s.secrets {
		needles = append(needles, []byte(secret))
	}
	signedUp := len(s.secrets) > 0
	s.mu.Unlock()
	check := func(where string, text []byte) {
		for _, needle := range needles {
			if bytes.Contains(text, needle) {
				s.t.Errorf("%s holds %q", where, needle)
			}
		}
	}
	check("the log", []byte(s.logs.String()))
	sawSignUp := false
	s.scanTemporal(file, func(where string, value []byte) {
		check(where, value)
		sawSignUp = sawSignUp || bytes.Contains(value, []byte("create-user/"))
	})
	require.Equal(s.t, signedUp, sawSignUp, "what was looked through is what the test left")
}

// scanTemporal calls visit with everything that Temporal's database holds.
func (s *stack) scanTemporal(file string, visit func(where string, value []byte)) {
	db, err := sql.Open("sqlite", file)
	require.NoError(s.t, err)
	defer db.Close()
	rows, err := db.Query(`SELECT name FROM sqlite_master WHERE type = 'table'`)
	require.NoError(s.t, err)
	var tables []string
	for rows.Next() {
		var table string
		require.NoError(s.t, rows.Scan(&table))
		tables = append(tables, table)
	}
	require.NoError(s.t, rows.Err())
	for _, table := range tables {
		rows, err := db.Query(fmt.Sprintf("SELECT * FROM %q", table))
		require.NoError(s.t, err)
		columns, err := rows.Columns()
		require.NoError(s.t, err)
		values, into := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		for rows.Next() {
			require.NoError(s.t, rows.Scan(into...))
			for i, value := range values {
				visit(table+"."+columns[i], value)
			}
		}
		require.NoError(s.t, rows.Err())
	}
}

// temporalHolds reports whether anything that Temporal has contains the text.
func (s *stack) temporalHolds(text string) (holds bool) {
	s.scanTemporal(s.temporalFile, func(_ string, value []byte) { holds = holds || bytes.Contains(value, []byte(text)) })
	return holds
}

// encrypted reports whether the payloads in Temporal are.
func (s *stack) encrypted() bool { return len(s.config.Codec.Keys) > 0 }
