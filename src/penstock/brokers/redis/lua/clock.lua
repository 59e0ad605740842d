-- The server's time.
-- uses: base
-- may: only read
-- Keys: the prefix. No arguments. Result: epoch seconds.
return string.format('%.17g', time(''))
