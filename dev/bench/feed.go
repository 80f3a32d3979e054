package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/dev/bench/measure"
)

// feed measures GET /feeds/me, compared with the SELECT of its rows, and with a request that reads nothing.
func feed(b *bench) error {
	type kind struct {
		name string
		do   func(int) error
	}
	get := func(path, token string) func(int) error {
		return func(int) error { return b.api.Call(b.ctx, http.MethodGet, path, token, "", nil) }
	}
	kinds := []kind{{"GET /healthz", get("/healthz", "")}}
	for _, items := range []int{50, 1000} {
		reader := fmt.Sprintf("reader-%d", items)
		tweets := make([]twtr.Tweet, items)
		for i := range tweets {
			tweet, err := newTweet("star")
			if err != nil {
				return err
			}
			tweets[i] = tweet
		}
		if err := b.store.PutFeedItems(b.ctx, reader, tweets, time.Now()); err != nil {
			return err
		}
		kinds = append(kinds,
			kind{fmt.Sprintf("GET /feeds/me, %d items", items), get("/feeds/me", measure.Token(reader))},
			kind{fmt.Sprintf("SELECT, %d items", items), func(int) error { return b.raw.readFeed(b.ctx, reader) }},
		)
	}
	for _, clients := range []int{1, 32} {
		load := fmt.Sprintf(", %d clients", clients)
		p50, rate := map[string][]float64{}, map[string][]float64{}
		for range b.scale.rounds {
			for _, k := range kinds {
				took, perSecond, err := b.load(clients, 0, k.do)
				if err != nil {
					return err
				}
				p50[k.name] = append(p50[k.name], measure.Percentile(took, 0.5))
				rate[k.name] = append(rate[k.name], perSecond)
			}
		}
		for _, k := range kinds {
			b.add(k.name+load+", p50", "ms", p50[k.name]...)
			b.add(k.name+load, "/s", rate[k.name]...)
		}
		b.ratio("GET /healthz"+load+", p50", "SELECT, 50 items"+load+", p50")
		b.ratio("GET /feeds/me, 50 items"+load+", p50", "SELECT, 50 items"+load+", p50")
		b.ratio("GET /feeds/me, 50 items"+load, "SELECT, 50 items"+load)
		b.ratio("GET /feeds/me, 1000 items"+load+", p50", "GET /feeds/me, 50 items"+load+", p50")
		b.ratio("GET /feeds/me, 1000 items"+load, "SELECT, 1000 items"+load)
	}
	return nil
}
