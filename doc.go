// Package twtr is the domain of a Twitter-like backend: users, tweets, follows and the chronological home feed.
//
// It holds the types, the rules that input must keep, the error codes, and the contracts of the store. It knows neither
// HTTP, nor Temporal, nor a database; each of those is a layer in a package of its own that names its files after the
// domains here (tweets.go in api, workflows, activities, workers and in each store engine).
package twtr
