package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr/api"
	"github.com/twtr-dev/twtr/dev/temporalserver"
)

// Widths of a phone and of a desktop.
const (
	phone   = 390
	desktop = 1280
)

// newStackWithPage is a stack that serves the page, with live feeds as in make run, and a browser.
func newStackWithPage(t *testing.T, flags ...string) (*stack, context.Context) {
	browser := newBrowser(t)
	ui := freeAddr(t)
	flags = append([]string{"--http-page", "true", "--temporal-ui-url", "http://" + ui + "/"}, flags...)
	return newLiveStackOn(t, "sqlite", temporalserver.Options{UIAddr: ui}, flags...).stack, browser
}

func newBrowser(t *testing.T) context.Context {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser(t)), chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, chromedp.DisableGPU)
	allocator, release := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(release)
	ctx, stop := chromedp.NewContext(allocator)
	t.Cleanup(stop)
	require.NoError(t, chromedp.Do(ctx))
	return ctx
}

// tab is the page in a window of somebody's own browser: it shares no storage with other tabs. People's actions go through the
// mouse and the keyboard. A test fails on anything in the console that the test does not expect, such as a violation of the policy.
type tab struct {
	t       *testing.T
	stack   *stack
	ctx     context.Context
	width   int64
	console *buffer
	// unchecked is true if the test violates the policy on purpose, or opens a page of others.
	unchecked bool
}

func openTab(browser context.Context, t *testing.T, s *stack, address string, width int64) *tab {
	ctx, closeTab := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(closeTab)
	b := &tab{t: t, stack: s, ctx: ctx, width: width, console: &buffer{}}
	messages := chromedp.Console(ctx)
	go func() {
		for message, err := range messages {
			if err != nil {
				return
			}
			if message.Source != "network" && (message.URL == "" || strings.HasPrefix(message.URL, address)) { // each answer that is an error is logged
				fmt.Fprintln(b.console, message)
			}
		}
	}()
	b.resize(width)
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(address)))
	t.Cleanup(func() {
		if !b.unchecked {
			require.Empty(t, b.console.String(), "the console")
		}
	})
	return b
}

func (b *tab) resize(width int64) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, chromedp.EmulateViewport(width, 800)))
}

func evaluate[T any](b *tab, script string, args ...any) T {
	b.t.Helper()
	literals := make([]any, len(args))
	for i, arg := range args {
		text, err := json.Marshal(arg)
		require.NoError(b.t, err)
		literals[i] = string(text)
	}
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](fmt.Sprintf(script, literals...), chromedp.EvalAwaitPromise))
	require.NoError(b.t, err, script)
	return value
}

// waits waits until the script is true.
func (b *tab) waits(what, script string, args ...any) {
	b.t.Helper()
	for end := time.Now().Add(30 * time.Second); !evaluate[bool](b, script, args...); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			require.Fail(b.t, what, "%s\n%s", evaluate[string](b, `document.body.innerText`), b.console)
		}
	}
}

// shows waits until the page shows the texts, and lets its width be scrolled at no time.
func (b *tab) shows(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		b.waits("shows "+text, `document.querySelector('main').innerText.includes(%s)`, text)
	}
	b.fits()
}

func (b *tab) showsNot(text string) {
	b.t.Helper()
	b.waits("shows not "+text, `!document.querySelector('main').innerText.includes(%s)`, text)
}

// becomes waits until the feed is live, or polling.
func (b *tab) becomes(state string) {
	b.t.Helper()
	b.waits("it is "+state, `document.querySelector('.state')?.classList.contains(%s) === true`, state)
}

// fits fails the test if the page is wider than the window, also than that of a small phone.
func (b *tab) fits() {
	b.t.Helper()
	const wider = `[...document.querySelectorAll('body, body *')].filter(e => e.checkVisibility() && !e.closest('.unseen') &&
		e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 200))`
	require.Empty(b.t, evaluate[[]string](b, wider), "at %d", b.width)
	if b.width == phone {
		b.resize(360)
		require.Empty(b.t, evaluate[[]string](b, wider), "at 360")
		b.resize(b.width)
	}
}

// click clicks the first button or link of that name that can be seen, as soon as there is one and nothing covers it.
func (b *tab) click(name string) {
	b.t.Helper()
	const find = `(() => {
		const all = [...document.querySelectorAll('button, a, label, [placeholder]')].filter(e => e.checkVisibility())
		const e = all.find(e => ('\n' + (e.placeholder ?? e.innerText).trim()).endsWith('\n' + %s) && !e.matches('.unseen'))
		e?.scrollIntoView({block: 'center', behavior: 'instant'})
		const box = e?.getBoundingClientRect()
		const at = e && [box.x + box.width / 2, box.y + box.height / 2]
		return e && e.contains(document.elementFromPoint(...at)) ? at : []
	})()`
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if at := evaluate[[]float64](b, find, name); len(at) == 2 {
			require.NoError(b.t, chromedp.Do(b.ctx, chromedp.MouseClickXY(at[0], at[1])))
			return
		}
		if time.Now().After(end) {
			require.Fail(b.t, "click "+name, evaluate[string](b, `document.body.innerText`))
		}
	}
}

// fill clicks the label of a field, which must focus it, and writes a text in place of what is there.
func (b *tab) fill(label, text string) {
	b.t.Helper()
	b.click(label)
	b.write(text)
}

// write writes a text in place of what the focused field has.
func (b *tab) write(text string) {
	b.t.Helper()
	evaluate[bool](b, `document.activeElement.select() ?? true`)
	require.NoError(b.t, chromedp.Do(b.ctx, chromedp.KeyEvent(kb.Delete)))
	_, err := chromedp.Call(b.ctx, input.InsertText, input.InsertTextParams{Text: text})
	require.NoError(b.t, err)
}

// press presses keys.
func (b *tab) press(keys string, modifiers ...chromedp.Modifier) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, chromedp.KeyEvent(keys, chromedp.KeyModifiers(modifiers...))))
}

func (b *tab) reload() {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, chromedp.Reload()))
}

// fillsSignUp fills the form of a new user, and sends it.
func (b *tab) fillsSignUp(name, password string) {
	b.t.Helper()
	b.shows("Password again")
	for label, value := range map[string]string{"Username": name, "Display name": strings.ToUpper(name), "E-mail address": name + "@example.com",
		"Password": password, "Password again": password} {
		b.fill(label, value)
	}
	b.press(kb.Enter)
}

func (b *tab) signsUp(name string) {
	b.t.Helper()
	b.click("Sign up")
	b.fillsSignUp(name, "correct horse")
	b.shows("What is new?")
	b.stack.remember(evaluate[[]byte](b, `({refreshToken: sessionStorage.getItem('twtr.refreshToken')})`))
}

// opensWorkflow follows the link of a delivery, and waits until the Web UI shows the workflow.
func (b *tab) opensWorkflow() {
	b.t.Helper()
	b.unchecked = true
	address := evaluate[string](b, `document.querySelector('.delivery a').href`)
	require.NoError(b.t, chromedp.Do(b.ctx, chromedp.Navigate(address)))
	b.waits("the Web UI shows the workflow", `/completed/i.test(document.body.innerText) && document.body.innerText.includes('PostTweet')`)
}

func (b *tab) tweets(content string) {
	b.t.Helper()
	b.fill("What is new?", content)
	b.click("Tweet")
	b.shows(content)
}

// goesTo opens the profile of a user by the field for names.
func (b *tab) goesTo(name string) {
	b.t.Helper()
	b.fill("Go to a user", name)
	b.press(kb.Enter)
}

// focused is the name of what has the focus: a label's text, or its own.
func (b *tab) focused() string {
	b.t.Helper()
	return evaluate[string](b, `(e => (e.labels?.[0] ?? e).innerText.trim())(document.activeElement)`)
}

// tabTo presses Tab until what has that name has the focus, which must be visible.
func (b *tab) tabTo(name string) {
	b.t.Helper()
	for range 30 {
		b.press(kb.Tab)
		require.True(b.t, evaluate[bool](b, `document.activeElement.matches(':focus-visible') && getComputedStyle(document.activeElement).outlineStyle === 'solid'`),
			"the focus is visible on %s", b.focused())
		if b.focused() == name {
			return
		}
	}
	require.Fail(b.t, "no Tab leads to "+name, evaluate[string](b, `document.body.innerText`))
}

func TestAPersonUsesThePageFromSignUpToLogOut(t *testing.T) {
	s, browser := newStackWithPage(t)
	s.work()
	for _, width := range []int64{phone, desktop} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			b := openTab(browser, t, s, s.url, width)
			name, bob := fmt.Sprintf("ann-%d", width), fmt.Sprintf("bob-%d", width)
			token := s.made("/users", "", signUpBody(bob)).AccessToken
			s.seedCountedFollowers(bob, 60)

			b.shows("Each tweet is a workflow", "New here?")
			b.fill("Username", "nobody-here")
			b.fill("Password", "correct horse")
			b.press(kb.Enter)
			b.shows("Is of no user: check it, or sign up.")
			require.Equal(t, "Username", b.focused())
			b.click("Sign up")
			b.shows("Password again")
			b.fill("Username", bob)
			b.fill("Password", "short")
			b.press(kb.Enter)
			b.shows("Must have 8 to 128 characters, not 5.", "Must not be empty.", "Must be the same as password.")
			require.Equal(t, "Display name", b.focused())
			b.fillsSignUp(bob, "a password of another")
			b.shows("Is taken: choose another, or log in if it is yours.")
			b.fillsSignUp(name, "correct horse")
			b.shows("Nothing yet. Follow somebody", "None yet: write your first one.")

			b.tweets("hello <b>world</b> <img src=x onerror=alert(1)>")
			b.shows("0 feeds in ", "Workflow")
			require.True(t, evaluate[bool](b, `document.querySelector('progress').position === 1`))
			id := evaluate[string](b, `document.querySelector('.own .tweet').id`)
			workflow := evaluate[string](b, `document.querySelector('.own .delivery a').href`)
			require.Equal(t, s.config.API.TemporalUI+"/namespaces/default/workflows/post-tweet%2F"+id, workflow)

			b.goesTo(strings.ToUpper(bob))
			b.shows("60 followers", "None yet.")
			require.Equal(t, strings.ToUpper(bob), b.focused(), "a screen reader begins at the heading")
			b.click("Follow")
			b.shows("Unfollow", "61 followers")
			b.click("61 followers")
			b.shows("Followers of", "@reader-1")
			require.Equal(t, 50, evaluate[int](b, `document.querySelectorAll('.list > li').length`))
			b.click("More")
			b.waits("the second page", `document.querySelectorAll('.list > li').length >= 61`)
			b.showsNot("More")
			b.click("Profile")
			b.shows("follows 1")
			b.click("follows 1")
			b.shows("Followed by", "@"+name, "@"+bob)
			b.click("@" + bob)
			b.shows("Unfollow")

			b.click("Feed")
			b.becomes("live")
			text := "a tweet of bob at " + fmt.Sprint(width)
			s.made("/tweets", token, map[string]string{"content": text})
			b.shows(text)
			require.Equal(t, "New tweet of "+bob+": "+text, evaluate[string](b, `document.querySelector('[role=status]#news').textContent`))
			b.goesTo(bob)
			b.click("Unfollow")
			b.waits("it is unfollowed", `document.querySelector('.profile button').textContent === 'Follow'`)
			b.click("Feed")
			b.showsNot(text)

			b.reload()
			b.shows("hello <b>world</b>") // the session is still there
			b.click("Delete")
			b.shows("Delete for good?")
			b.click("Delete for good?")
			b.shows("None yet: write your first one.")
			require.Equal(t, 404, s.call("GET", "/tweets/"+id, "", nil).Status)

			b.click("Log out")
			b.shows("New here?")
			b.reload()
			b.shows("New here?")
			b.fill("Username", name)
			b.fill("Password", "wrong horse")
			b.press(kb.Enter)
			b.shows("Is wrong.")
			b.fill("Password", "correct horse")
			b.press(kb.Enter)
			b.shows("What is new?")
		})
	}
}

func TestTwoBrowsersShowATweetArriveAndGo(t *testing.T) {
	t.Run("make run", func(t *testing.T) {
		browser := newBrowser(t)
		addr, _, args := devArgs(t)
		start(t, t.TempDir(), "dev", nil, args...).says(t, "twtr is running.")
		arrivesAndGoes(browser, t, &stack{t: t, url: "http://" + addr}, "live")
	})
	t.Run("without events", func(t *testing.T) {
		browser := newBrowser(t)
		s := newStack(t, "sqlite", "--http-page", "true")
		s.work()
		arrivesAndGoes(browser, t, s, "polling")
	})
}

// arrivesAndGoes fails unless both feeds are in that state before the tweet.
func arrivesAndGoes(browser context.Context, t *testing.T, s *stack, state string) {
	ann, bob := openTab(browser, t, s, s.url, desktop), openTab(browser, t, s, s.url, phone)
	ann.signsUp("ann")
	bob.signsUp("bob")
	bob.goesTo("ann")
	bob.click("Follow")
	bob.shows("Unfollow")
	bob.click("Feed")
	bob.shows("Nothing yet.")
	for _, b := range []*tab{ann, bob} {
		b.becomes(state)
	}
	const reads = `performance.getEntriesByType('resource').filter(({name}) => name.endsWith('/feeds/me')).length`
	before := evaluate[int](bob, reads)
	ann.tweets("see you there")
	bob.shows("see you there")
	ann.shows("1 feed in ")
	ann.click("Delete")
	ann.click("Delete for good?")
	bob.showsNot("see you there")
	require.Equal(t, state == "live", evaluate[int](bob, reads) == before, "the stream alone, or the feed read again")
}

// TestAFeedStaysLiveWhenTheAccessTokenExpires lets the API's clock go ahead, and has a proxy in front of it that records the streams.
func TestAFeedStaysLiveWhenTheAccessTokenExpires(t *testing.T) {
	browser := newBrowser(t)
	l := newLiveStack(t, "sqlite")
	l.work()
	var ahead atomic.Int64
	a, _ := l.api(func(c *api.Config) {
		c.Page = &api.WebPage{}
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	target, err := url.Parse(a.url)
	require.NoError(t, err)
	streams := make(chan string, 10)
	front := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(r *http.Response) error {
			if r.Request.URL.Path == "/feeds/me/stream" {
				streams <- fmt.Sprint(r.StatusCode, " ", r.Request.Header.Get("Last-Event-ID") != "")
			}
			return nil
		},
	})
	t.Cleanup(func() { front.CloseClientConnections(); front.Close() })
	ann := l.signUp("ann")
	b := openTab(browser, t, l.stack, front.URL, phone)
	b.signsUp("bob")
	b.goesTo("ann")
	b.click("Follow")
	b.shows("Unfollow")
	b.click("Feed")
	b.becomes("live")
	for len(streams) > 0 {
		require.Equal(t, "200 false", <-streams)
	}
	ahead.Store(int64(16 * time.Minute))
	require.Equal(t, "401 true", <-streams, "the stream has ended, and the page continues it")
	require.Equal(t, "200 true", <-streams, "with a new token")
	b.becomes("live")
	l.tweet(ann, "after the token")
	b.shows("after the token")
	require.Empty(t, streams)
}

func TestAFeedBeyondTheLimitOfStreamsPolls(t *testing.T) {
	s, browser := newStackWithPage(t, "--stream-per-user", "1")
	s.work()
	first, second := openTab(browser, t, s, s.url, desktop), openTab(browser, t, s, s.url, phone)
	first.signsUp("ann")
	first.becomes("live")
	second.fill("Username", "ann")
	second.fill("Password", "correct horse")
	second.press(kb.Enter)
	second.becomes("polling")
}

func TestTheMainPathNeedsNoMouse(t *testing.T) {
	s, browser := newStackWithPage(t)
	s.work()
	s.made("/users", "", signUpBody("bob"))
	for _, width := range []int64{phone, desktop} {
		b := openTab(browser, t, s, s.url, width)
		b.shows("New here?")
		b.tabTo("Sign up")
		b.press(kb.Enter)
		b.shows("Password again")
		name := fmt.Sprintf("ann-%d", width)
		for _, field := range [][2]string{{"Username", name}, {"Display name", "Ann"}, {"E-mail address", "ann@example.com"},
			{"Password", "correct horse"}, {"Password again", "correct horse"}} {
			b.tabTo(field[0])
			b.press(field[1])
		}
		b.press(kb.Enter)
		b.shows("What is new?")
		b.tabTo("What is new?")
		b.press("by keyboard")
		b.press(kb.Enter, chromedp.ModifierCtrl)
		b.shows("Workflow")
		require.Equal(t, "What is new?", b.focused(), "ready for the next one")
		b.tabTo("Delete")
		b.press(kb.Enter)
		b.press(kb.Enter)
		b.shows("None yet: write your first one.")
		b.reload()
		b.shows("What is new?")
		b.tabTo("Go to a user")
		b.press("bob")
		b.press(kb.Enter)
		b.shows("BOB")
		b.tabTo("Follow")
		b.press(kb.Enter)
		b.shows("Unfollow")
	}
}

func TestNoTextOfAUserRunsInThePage(t *testing.T) {
	s, browser := newStackWithPage(t)
	s.work()
	script := "<img src=x onerror=alert(1)>"
	body := signUpBody("mallory")
	body["displayName"] = "<b>Mallory</b>"
	mallory := s.made("/users", "", body).AccessToken
	s.made("/tweets", mallory, map[string]string{"content": script})
	b := openTab(browser, t, s, s.url, phone)
	b.signsUp("ann")
	b.goesTo("mallory")
	b.shows("<b>Mallory</b>", script)
	b.click("Follow")
	b.click("Feed")
	b.shows(script)
	require.Zero(t, evaluate[int](b, `document.querySelectorAll('main img, main b, main script').length`))

	// A mistake in our scripts would have no effect either.
	b.unchecked = true
	const attempt = `(() => { try { document.body.insertAdjacentHTML('beforeend', '<i>x</i>'); return 'inserted' } catch (e) { return e.name } })()`
	require.Equal(t, "TypeError", evaluate[string](b, attempt))
	const inline = `(() => { const s = document.createElement('style'); s.textContent = 'main { display: none }'; document.head.append(s);
		return getComputedStyle(document.querySelector('main')).display })()`
	require.Equal(t, "grid", evaluate[string](b, inline))
	require.Equal(t, "TypeError", evaluate[string](b, `fetch('http://127.0.0.2/').catch(e => e.name)`))
}

func TestTheCounterCountsAsTheServerDoes(t *testing.T) {
	s, browser := newStackWithPage(t)
	s.work()
	b := openTab(browser, t, s, s.url, desktop)
	b.signsUp("ann")
	for _, part := range []string{"a", "é", "e\u0301", "ﬁ", "ñandú ", "한", "\u1112\u1161\u11ab", "🎉", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "शुभ", "\u200b", "\u202e", "x\n", "𝔘"} {
		text := strings.Repeat(part, 281)
		b.fill("What is new?", text)
		left := evaluate[string](b, `document.querySelector('.counter').textContent`)
		b.click("Tweet")
		b.shows("Must have 1 to 280 characters, not ")
		says := evaluate[string](b, `document.querySelector('#content-error').textContent`)
		var n, more int
		_, err := fmt.Sscanf(says, "Must have 1 to 280 characters, not %d.", &n)
		require.NoError(t, err, says)
		_, err = fmt.Sscan(left, &more)
		require.NoError(t, err, left)
		require.Equal(t, n, 280-more, "%+q", part)
	}
	longest := strings.Repeat("👍🏽", 140)
	b.fill("What is new?", longest)
	require.Equal(t, "0", evaluate[string](b, `document.querySelector('.counter').textContent`))
	b.click("Tweet")
	b.shows(longest)
}

func TestTheBarFillsWhileATweetIsDelivered(t *testing.T) {
	s, browser := newStackWithPage(t, "--feed-rows-per-second", "3000")
	s.work()
	b := openTab(browser, t, s, s.url, phone)
	b.signsUp("ann")
	s.seedCountedFollowers("ann", 20_000)
	b.tweets("to all of you")
	var seen []float64
	s.eventually("the bar is full", func() bool {
		seen = append(seen, evaluate[float64](b, `document.querySelector('progress').position`))
		return seen[len(seen)-1] == 1
	})
	require.IsNonDecreasing(t, seen)
	require.Condition(t, func() bool { return slices.ContainsFunc(seen, func(at float64) bool { return 0.1 < at && at < 0.9 }) }, seen)
	b.shows("20,000 feeds in ")
	b.opensWorkflow()
}

func TestAnErrorOfThePageSaysWhatToDo(t *testing.T) {
	s, browser := newStackWithPage(t)
	s.work()
	target, err := url.Parse(s.url)
	require.NoError(t, err)
	var down, refused atomic.Bool
	api := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		if refused.Load() && r.Out.Header.Get("Authorization") != "" {
			r.Out.Header.Set("Authorization", "Bearer expired")
		}
	}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			panic(http.ErrAbortHandler)
		}
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { front.CloseClientConnections(); front.Close() })
	b := openTab(browser, t, s, front.URL, phone)
	b.signsUp("ann")

	b.fill("What is new?", "\u200b")
	b.click("Tweet")
	b.shows("Must have a visible character.")
	require.Equal(t, "What is new?", b.focused())

	down.Store(true)
	b.fill("What is new?", "once")
	b.click("Tweet")
	b.shows("The server cannot be reached: check your connection, and try again.")
	down.Store(false)
	b.click("Tweet")
	b.shows("0 feeds in ")

	_, begin := s.outage()
	end := begin()
	b.fill("What is new?", "during an outage")
	b.click("Tweet")
	b.shows("try again in a second.")
	end()
	b.waits("it is posted", `document.querySelector('.own').innerText.includes('during an outage') || (document.querySelector('#content').form.requestSubmit(), false)`)
	var mine []tweet
	s.ok("GET", "/users/ann/tweets", "", nil, &mine)
	require.Len(t, mine, 2, "each is posted once")

	b.goesTo("nobody-here")
	b.shows("Not found", "There is no user nobody-here.")

	refused.Store(true) // also after a refresh
	b.click("Feed")
	b.shows("The access token is not valid, or has expired: log in or refresh.", "Try again")
	refused.Store(false)
	b.click("Try again")
	b.shows("What is new?")

	session := evaluate[string](b, `sessionStorage.getItem('twtr.refreshToken')`)
	s.ok("POST", "/users/logout", "", map[string]string{"refreshToken": session}, nil)
	b.click("Profile")
	b.shows("Your session has ended: log in again.")
	require.Zero(t, evaluate[int](b, `sessionStorage.length + localStorage.length + document.cookie.length`), "nothing is left of the session")
}

// TestThePageReadsAStreamOfEvents has a stream in front of the API that sends what the API's would, in awkward pieces.
func TestThePageReadsAStreamOfEvents(t *testing.T) {
	s, browser := newStackWithPage(t)
	s.work()
	target, err := url.Parse(s.url)
	require.NoError(t, err)
	pieces, connections := make(chan string), make(chan string, 10)
	front := http.NewServeMux()
	front.Handle("/", httputil.NewSingleHostReverseProxy(target))
	front.HandleFunc("/feeds/me/stream", func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		connections <- r.Header.Get("Last-Event-ID")
		for {
			select {
			case piece := <-pieces:
				if piece == "" {
					return
				}
				_, _ = io.WriteString(w, piece)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	})
	server := httptest.NewServer(front)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	b := openTab(browser, t, s, server.URL, phone)
	b.signsUp("ann")
	b.shows("Live")
	require.Empty(t, <-connections)
	const id = "01a20b7a-6605-75c2-93a0-55606f63d101"
	event := "id: first\nevent: tweet\ndata: {\"id\":\"" + id + "\",\"username\":\"bob\",\"content\":\"höhö\",\"createdAt\":\"2026-11-24T02:55:00.613Z\"}\n\n"
	middle := strings.Index(event, "ö") + 1 // within a character
	pieces <- ": live feed\nretry: 5000\nid: begin\n\n"
	pieces <- "" // ends
	began := time.Now()
	require.Equal(t, "begin", <-connections, "an id needs no event")
	require.Greater(t, time.Since(began), 4*time.Second, "it waits as the server says")
	for _, piece := range []string{": welcome\n\n", event[:5], event[5:middle], event[middle : len(event)-1]} {
		pieces <- piece
	}
	pieces <- event[len(event)-1:]
	b.shows("@bob", "höhö")
	pieces <- event + ":\r\n\r\nevent: other\r\ndata: x\r\n\r\n"
	pieces <- "id: second\r\nevent: delete\r\ndata: {\"id\":\"" + id + "\"}\r\n\r\n"
	b.showsNot("höhö")
	pieces <- "" // ends
	require.Equal(t, "second", <-connections, "it continues where it was")
	b.shows("Live")
	pieces <- event
	b.shows("höhö")
	pieces <- "id: third\nevent: reset\ndata: {}\n\n"
	b.showsNot("höhö") // the feed, which is read again, has it not
}

// TestScreenshotsOfThePage makes the pictures of the page in the documents; make screenshots runs it.
func TestScreenshotsOfThePage(t *testing.T) {
	dir := os.Getenv("TWTR_TEST_SCREENSHOTS")
	if dir == "" {
		t.Skip("this makes pictures for the documents: make screenshots")
	}
	s, browser := newStackWithPage(t, "--feed-rows-per-second", "6000")
	s.work()
	tokens := map[string]string{}
	for _, name := range []string{"bob", "carol", "dave"} {
		tokens[name] = s.made("/users", "", signUpBody(name)).AccessToken
	}
	b := openTab(browser, t, s, s.url, desktop)
	b.signsUp("ann")
	for name := range tokens {
		b.goesTo(name)
		b.click("Follow")
		b.shows("Unfollow")
	}
	b.click("Feed")
	s.seedCountedFollowers("ann", 40_000)
	b.tweets("Each tweet is a workflow. This is one.")
	for _, tweet := range [][2]string{
		{"dave", "Kill a worker while it delivers, and count the feeds afterwards. All of them have the tweet, once."},
		{"carol", "I opened two windows side by side. What I write in one of them arrives in the other."},
		{"dave", "Nothing to see here.\nOnly two lines."},
		{"bob", "Good morning from the other side of the feed!"},
	} {
		s.made("/tweets", tokens[tweet[0]], map[string]string{"content": tweet[1]})
		b.shows(strings.Split(tweet[1], "\n")[0])
	}
	b.shows("40,000 feeds in ")
	b.tweets("To 40,000 of you: watch it arrive.")
	shoot := func(name string, low, high float64) {
		b.waits("the bar is in the middle", fmt.Sprintf(`(at => %v < at && at < %v)(document.querySelector('progress').position)`, low, high))
		evaluate[bool](b, `document.activeElement.blur() ?? true`)
		picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600))
		require.Less(t, len(picture), 100<<10, name)
	}
	shoot("page-desktop", 0.3, 0.5)
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
	require.NoError(t, err)
	b.resize(phone)
	shoot("page-phone", 0.5, 0.95)
}
