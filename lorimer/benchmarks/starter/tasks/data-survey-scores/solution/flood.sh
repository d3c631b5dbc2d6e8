cat answers.tsv codebook.json
