package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr/dev/temporalserver"
)

// Widths of a phone and of a desktop.
const (
	phone   = 390
	desktop = 1280
)

// newStackWithPage is a stack that serves the page, and a browser.
func newStackWithPage(t *testing.T, flags ...string) (*stack, context.Context) {
	program := browser(t)
	ui := freeAddr(t)
	flags = append([]string{"--http-page", "true", "--temporal-ui-url", "http://" + ui + "/"}, flags...)
	s := newStackOn(t, "sqlite", temporalserver.Options{UIAddr: ui}, flags...)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, chromedp.DisableGPU)
	allocator, release := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(release)
	ctx, stop := chromedp.NewContext(allocator)
	t.Cleanup(stop)
	require.NoError(t, chromedp.Do(ctx))
	return s, ctx
}

// tab is the page in a window of somebody's own browser: it shares no storage with other tabs. People's actions go through the
// mouse and the keyboard. A test fails on anything in the console that the test does not expect, such as a violation of the policy.
type tab struct {
	t       *testing.T
	ctx     context.Context
	width   int64
	console *buffer
}

func openTab(t *testing.T, browser context.Context, address string, width int64) *tab {
	ctx, closeTab := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(closeTab)
	b := &tab{t: t, ctx: ctx, width: width, console: &buffer{}}
	messages := chromedp.Console(ctx)
	go func() {
		for message, err := range messages {
			if err != nil {
				return
			}
			if message.Source != "network" { // each answer that is an error is logged
				fmt.Fprintln(b.console, message)
			}
		}
	}()
	b.resize(width)
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(address)))
	t.Cleanup(func() { require.Empty(t, b.console.String(), "the console") })
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
	for end := time.Now().Add(time.Minute); !evaluate[bool](b, script, args...); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			require.Fail(b.t, what, "%s\n%s", evaluate[string](b, `document.body.innerText`), b.console)
		}
	}
}

// shows waits until the page shows the texts, and lets its width be scrolled at no time.
func (b *tab) shows(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		b.waits("shows "+text, `document.body.innerText.includes(%s)`, text)
	}
	b.fits()
}

func (b *tab) showsNot(text string) {
	b.t.Helper()
	b.waits("shows not "+text, `!document.body.innerText.includes(%s)`, text)
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
		const e = all.find(e => (e.placeholder ?? e.innerText).trim() === %s && !e.matches('.unseen'))
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

// signsUp fills the form of a new user.
func (b *tab) signsUp(name string) {
	b.t.Helper()
	b.click("Sign up")
	b.shows("Password again")
	for label, value := range map[string]string{"Username": name, "Display name": strings.ToUpper(name), "E-mail address": name + "@example.com",
		"Password": "correct horse", "Password again": "correct horse"} {
		b.fill(label, value)
	}
	b.press(kb.Enter)
	b.shows("Feed", "What is new?")
}

func (b *tab) tweets(content string) {
	b.t.Helper()
	b.fill("What is new?", content)
	b.click("Tweet")
	b.shows(content)
}

func TestAPersonUsesThePageFromSignUpToLogOut(t *testing.T) {
	s, browser := newStackWithPage(t)
	s.work()
	others := []string{"carol", "dave"}
	for _, name := range others {
		s.made("/users", "", signUpBody(name))
	}
	for _, width := range []int64{phone, desktop} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			ann := openTab(t, browser, s.url, width)
			me := fmt.Sprintf("ann-%d", width)
			ann.shows("Each tweet is a workflow", "Log in")
			ann.signsUp(me)
			ann.shows("Nothing yet. Follow somebody", "None yet: write your first one.")

			ann.tweets("hello, world")
		})
	}
}

func TestScratch(t *testing.T) {
	s, browser := newStackWithPage(t, "--feed-rows-per-second", "8000")
	s.work()
	ann := openTab(t, browser, s.url, desktop)
	shot := func(name string) {
		picture, err := chromedp.Run(ann.ctx, chromedp.CaptureScreenshot())
		require.NoError(t, err)
		require.NoError(t, os.WriteFile("/tmp/page-shots/"+name+".png", picture, 0o600))
	}
	shot("login")
	ann.click("Sign up")
	ann.shows("Password again")
	ann.fill("Username", "ann")
	ann.press(kb.Enter)
	ann.shows("Must not be empty")
	shot("signup")
	ann.signsUp("ann")
	bob := s.made("/users", "", signUpBody("bob")).AccessToken
	s.seedCountedFollowers("ann", 40000)
	ann.tweets("Early tweet")
	ann.fill("Go to a user", "bob")
	ann.press(kb.Enter)
	ann.click("Follow")
	ann.shows("Unfollow")
	shot("profile")
	ann.click("Feed")
	for _, text := range []string{"Good morning", "A longer tweet that goes on for some time, with more words than fit on a line, so that we see how it wraps 🎉", "third"} {
		s.made("/tweets", bob, map[string]string{"content": text})
		ann.shows(text)
	}
	ann.tweets("To all 40,000 of you")
	time.Sleep(2 * time.Second)
	shot("home")
	ann.resize(phone)
	shot("home-phone")
	ann.click("Profile")
	ann.shows("followers")
	shot("profile-phone")
	_ = desktop
}
