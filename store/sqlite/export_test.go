package sqlite

// Lock keeps others from writing to a file, as another process could.
var Lock = lock

// MapError is mapError.
var MapError = mapError
