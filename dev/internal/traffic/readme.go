package traffic

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"
)

var (
	readmeCall  = regexp.MustCompile(`(?m)^    \$ (curl .*)\n    (\{.*\})$`)
	readmeToken = regexp.MustCompile(`(?m)^    \$ ([A-Z]+)=eyJhbGci…$`)
)

// Readme runs the calls of the README's section Try it, as they stand there but for the replacements, and compares the answers'
// shape with those printed there. It returns the number of calls. The service must have no user yet.
func Readme(ctx context.Context, file string, replacements *strings.Replacer) (int, error) {
	readme, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	_, text, _ := strings.Cut(string(readme), "\n## Try it\n")
	text, _, _ = strings.Cut(text, "\n## ")
	calls, names := readmeCall.FindAllStringSubmatch(text, -1), readmeToken.FindAllStringSubmatch(text, -1)
	if len(calls) < 4 || len(names) != 2 {
		return 0, fmt.Errorf("the README's section has %d calls and %d tokens", len(calls), len(names))
	}
	variables := ""
	for _, call := range calls {
		var got string
		// Bob's feed has the tweet a moment after it was posted.
		if err := Eventually(ctx, 10*time.Second, func() error {
			out, err := exec.CommandContext(ctx, "bash", "-c", variables+replacements.Replace(call[1])).CombinedOutput()
			if got = string(out); err != nil {
				return fmt.Errorf("%s: %w: %s", call[1], err, got)
			}
			if a, b := shape(got), shape(call[2]); a != b {
				return fmt.Errorf("%s\nanswers %s\nand not, as in the README, %s", call[1], got, call[2])
			}
			return nil
		}); err != nil {
			return 0, err
		}
		var user struct{ Data struct{ AccessToken string } }
		if json.Unmarshal([]byte(got), &user) == nil && user.Data.AccessToken != "" {
			if len(names) == 0 {
				return 0, fmt.Errorf("the README names no variable for the token of %s", call[1])
			}
			variables += fmt.Sprintf("%s=%s\n", names[0][1], user.Data.AccessToken)
			names = names[1:]
		}
	}
	return len(calls), nil
}

// shape is a JSON text with its keys only.
func shape(text string) string {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return "not JSON: " + err.Error()
	}
	return keys(v)
}

func keys(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var all []string
		for key, value := range v {
			all = append(all, key+keys(value))
		}
		slices.Sort(all)
		return "{" + strings.Join(all, " ") + "}"
	case []any:
		s := "["
		for _, value := range v {
			s += keys(value)
		}
		return s + "]"
	}
	return ""
}
