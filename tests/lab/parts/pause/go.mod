module railiance.stack/lab/pause

go 1.26.0
