package twtr

// BackfillTweets is how many of a user's newest tweets are added to the feed of a new follower.
const BackfillTweets = 100
