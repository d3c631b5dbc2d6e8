cat shop.log
