// Package twtr is the domain of a Twitter-like backend: users, tweets, follows and the chronological home feed.
//
// It holds the types, the rules for input, the error codes, and the contracts of the store. It knows neither HTTP, nor Temporal,
// nor a database. Each of those is a layer in a package of its own that names its files after the domains (users.go, tweets.go,
// followers.go and feeds.go in api, workflows, activities, workers and in each store engine).
package twtr
