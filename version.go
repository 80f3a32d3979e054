package twtr

// Version is the version of this source: the next release's or, at its tag, that release's. The chart, the API's description and the
// binary have the same one, and the tag is "v" and this; a test compares them.
const Version = "0.1.0"
