package twtr

// BackfillTweets is how many of the newest tweets of somebody a new follower finds in their feed.
const BackfillTweets = 100
