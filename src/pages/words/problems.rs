//! Why a request got no further.

use super::words;

words! {
    request
        en "Request"
        es "Solicitud"
    log_in_then_try
        en "Log in, then try again."
        es "Inicie sesión e inténtelo de nuevo."
    try_in_a_moment
        en "Try again in a moment."
        es "Inténtelo de nuevo en un momento."
    try_again
        en "Try again"
        es "Intentar de nuevo"
    check_the_address
        en "Check the address."
        es "Compruebe la dirección."
    go_to_start_page
        en "Go to the start page"
        es "Ir a la página de inicio"

    // By status.
    problem_401
        en "Please log in"
        es "Inicie sesión"
    problem_401_what
        en "This needs a sign-in, and there is none."
        es "Para esto hace falta iniciar sesión, y no hay ninguna sesión."
    problem_403
        en "Access denied"
        es "Acceso denegado"
    problem_403_what
        en "You may not open this page."
        es "Usted no puede abrir esta página."
    problem_403_remedy
        en "If you think you should, ask your user manager."
        es "Si cree que debería poder, pregunte a su administrador de usuarios."
    problem_404
        en "Page not found"
        es "Página no encontrada"
    problem_404_what
        en "There is nothing at this address."
        es "No hay nada en esta dirección."
    problem_405
        en "Not possible here"
        es "No es posible aquí"
    problem_405_what
        en "This address does not take such a request."
        es "Esta dirección no acepta una solicitud así."
    problem_413
        en "Too large"
        es "Demasiado grande"
    problem_413_what
        en "What was sent is larger than this application takes."
        es "Lo que se envió es más grande de lo que esta aplicación acepta."
    problem_414
        en "Address too long"
        es "Dirección demasiado larga"
    problem_414_what
        en "The address is longer than any page's."
        es "La dirección es más larga que la de cualquier página."
    problem_421
        en "Wrong address"
        es "Dirección equivocada"
    problem_421_what
        en "This server does not serve the host that was asked for."
        es "Este servidor no atiende el nombre de host que se pidió."
    problem_421_remedy
        en "Check the address, or open it in a new window."
        es "Compruebe la dirección o ábrala en una ventana nueva."
    problem_429
        en "Too many attempts"
        es "Demasiados intentos"
    problem_429_what
        en "There were too many attempts in a short time."
        es "Hubo demasiados intentos en poco tiempo."
    problem_429_remedy
        en "Wait a little, then try again."
        es "Espere un poco e inténtelo de nuevo."
    problem_431
        en "Too much sent along"
        es "Se envió demasiado"
    problem_431_what
        en "Your browser sent more headers or cookies than this server takes."
        es "Su navegador envió más encabezados o cookies de los que este servidor acepta."
    problem_431_remedy
        en "Delete the cookies of this site, then try again."
        es "Borre las cookies de este sitio e inténtelo de nuevo."
    problem_502
        en "The application does not answer"
        es "La aplicación no responde"
    problem_502_what
        en "The application could not be reached, or its answer could not be read."
        es "No se pudo llegar a la aplicación o no se pudo leer su respuesta."
    problem_502_remedy
        en "Try again in a moment. Nothing is wrong with your sign-in."
        es "Inténtelo de nuevo en un momento. Su inicio de sesión está bien."
    problem_503
        en "Not available right now"
        es "No disponible en este momento"
    problem_503_what
        en "A part of this service is not available."
        es "Una parte de este servicio no está disponible."
    problem_504
        en "The application takes too long"
        es "La aplicación tarda demasiado"
    problem_504_what
        en "The application did not answer in time."
        es "La aplicación no respondió a tiempo."
    problem_504_remedy
        en "Try again in a moment. What you did may have been done: look before you repeat it."
        es "Inténtelo de nuevo en un momento. Lo que hizo puede haberse realizado: compruébelo antes de repetirlo."
    problem_4xx
        en "Request refused"
        es "Solicitud rechazada"
    problem_4xx_what
        en "This request could not be understood."
        es "No se pudo entender esta solicitud."
    problem_5xx
        en "Something went wrong"
        es "Algo salió mal"
    problem_5xx_what
        en "An error happened on our side."
        es "Se produjo un error de nuestro lado."

    // Refused by the proxy.
    this_application
        en "this application"
        es "esta aplicación"
    the_application
        en "The application"
        es "La aplicación"
    denied_by_rule(rule: &str, product: &str)
        en "Your company's rule \"{rule}\" does not allow this in {product}."
        es "La regla “{rule}” de su empresa no permite esto en {product}."
    denied_by_rules(product: &str)
        en "Your company's rules do not allow this in {product}."
        es "Las reglas de su empresa no permiten esto en {product}."
    denied_by_rule_remedy
        en "If you need it for your work, ask your company's administrator."
        es "Si lo necesita para su trabajo, pregunte al administrador de su empresa."
    no_access_to(product: &str)
        en "You do not have access to {product}."
        es "Usted no tiene acceso a {product}."
    user_manager_can_grant
        en "A user manager of your company can grant it to you."
        es "Un administrador de usuarios de su empresa puede concedérselo."
    sso_being_released(product: &str)
        en "Single Sign-On for {product} is being released step by step."
        es "El inicio de sesión único para {product} se está introduciendo paso a paso."
    not_released_remedy
        en "It has not reached your company yet: until then, sign in to it as before."
        es "Todavía no ha llegado a su empresa: hasta entonces, inicie sesión allí como antes."
    no_live_connections(product: &str)
        en "{product} does not accept live connections from here."
        es "{product} no acepta conexiones en vivo desde aquí."
    no_live_connections_remedy
        en "Open the page again from its own address."
        es "Abra la página de nuevo desde su propia dirección."
    no_question
        en "No question"
        es "Sin pregunta"
    no_question_what
        en "What is asked about can't be told from this request's headers."
        es "Los encabezados de esta solicitud no permiten saber por qué se pregunta."
    no_question_remedy
        en "The samples in deploy/ show what each proxy has to send, each header once."
        es "Los ejemplos de deploy/ muestran lo que cada proxy debe enviar, cada encabezado una vez."
    not_an_asker
        en "This address answers the proxies that are listed in gateway.toml."
        es "Esta dirección responde a los proxies que figuran en gateway.toml."
    not_guarded
        en "The proxy in front has to send this page to the sign-in gateway, without asking first."
        es "El proxy de delante debe enviar esta página a la puerta de inicio de sesión, sin preguntar antes."
    sign_ins_cannot_be_checked
        en "Sign-ins can't be checked at the moment."
        es "En este momento no se pueden comprobar las sesiones."
    pages_can_be_read
        en "At the moment pages can be read, but nothing can be saved."
        es "En este momento se pueden leer páginas, pero no se puede guardar nada."
    nothing_changed_try
        en "Nothing was changed. Try again in a few seconds."
        es "No se cambió nada. Inténtelo de nuevo en unos segundos."
    cannot_be_opened_now(product: &str)
        en "{product} can't be opened right now"
        es "{product} no se puede abrir en este momento"
    sign_on_late(product: &str)
        en "You are signed in, but {product} did not take your sign-in in time."
        es "Usted ha iniciado sesión, pero {product} no aceptó su inicio de sesión a tiempo."
    sign_on_late_remedy
        en "Nothing is wrong with your password. Try again in a moment."
        es "Su contraseña está bien. Inténtelo de nuevo en un momento."
    cannot_be_opened(product: &str)
        en "{product} can't be opened"
        es "{product} no se puede abrir"
    sign_on_broken(product: &str)
        en "You are signed in, but signing in to {product} for you does not work."
        es "Usted ha iniciado sesión, pero no se logra iniciar su sesión en {product}."
    sign_on_broken_remedy
        en "Nothing is wrong with your password. Tell your administrator, with the number below."
        es "Su contraseña está bien. Avise a su administrador, con el número de abajo."
    cannot_be_reached(product: &str)
        en "{product} can't be reached"
        es "No se puede llegar a {product}"
    not_answering(product: &str)
        en "{product} is not answering at the moment."
        es "{product} no responde en este momento."
    still_signed_in
        en "You are still signed in. Try again in a moment."
        es "Su sesión sigue iniciada. Inténtelo de nuevo en un momento."

    // Forms that were kept.
    form_not_kept
        en "This form is not kept any more"
        es "Este formulario ya no se guarda"
    form_not_kept_what
        en "It was sent already, was thrown away, or waited for more than ten minutes."
        es "Ya se envió, se descartó o esperó más de diez minutos."
    form_not_kept_remedy
        en "Look in the application whether it arrived before you fill it in again."
        es "Compruebe en la aplicación si llegó antes de rellenarlo de nuevo."
    form_is_safe_load_again
        en "Your form is safe. Load this page again in a moment to send it; it is kept for ten minutes in all."
        es "Su formulario está a salvo. Vuelva a cargar esta página en un momento para enviarlo; se guarda durante diez minutos en total."
    form_not_yours
        en "This form was not yours"
        es "Este formulario no era suyo"
    form_not_yours_what
        en "Somebody else filled it in before you signed in here. It was not sent, and it is not kept any more."
        es "Otra persona lo rellenó antes de que usted iniciara sesión aquí. No se envió y ya no se guarda."
    form_not_yours_remedy
        en "Go on in the application."
        es "Continúe en la aplicación."

    // Refused by the portal.
    cross_site
        en "This form came from another site"
        es "Este formulario vino de otro sitio"
    cross_site_what
        en "For your safety it was not accepted."
        es "Por su seguridad no se aceptó."
    cross_site_remedy
        en "Open the page again and send it from there."
        es "Abra la página de nuevo y envíelo desde allí."
    no_cookies
        en "Cookies are needed"
        es "Hacen falta cookies"
    no_cookies_what
        en "Your browser does not accept this site's cookies, so it can't stay signed in here."
        es "Su navegador no acepta las cookies de este sitio, así que no puede mantener la sesión iniciada aquí."
    no_cookies_remedy
        en "Allow cookies for this site, then try again."
        es "Permita las cookies de este sitio e inténtelo de nuevo."
    too_many_log_ins
        en "There were too many attempts to log in."
        es "Hubo demasiados intentos de iniciar sesión."
    wait_then_try(span: &str)
        en "Wait {span}, then try again."
        es "Espere {span} e inténtelo de nuevo."
    many_are_logging_in
        en "Many people are logging in right now"
        es "Muchas personas están iniciando sesión en este momento"
    many_are_logging_in_what
        en "Your login could not be checked yet."
        es "Todavía no se pudo comprobar su inicio de sesión."
    many_are_logging_in_remedy
        en "Wait a few seconds, then try again."
        es "Espere unos segundos e inténtelo de nuevo."
    cannot_be_asked_now(product: &str)
        en "{product} can't be asked right now"
        es "No se puede consultar {product} en este momento"
    cannot_be_asked_what(product: &str)
        en "Your username and password were not checked: what keeps the {product} passwords does not answer as it should."
        es "Su usuario y su contraseña no se comprobaron: lo que guarda las contraseñas de {product} no responde como debería."
    cannot_be_asked_remedy
        en "Nothing was counted against you. Try again in a moment."
        es "No se le contó ningún intento. Inténtelo de nuevo en un momento."
    not_set_up
        en "You are not set up here yet"
        es "Usted todavía no está dado de alta aquí"
    not_set_up_what(product: &str)
        en "Your {product} username and password are right, but nobody has set you up for this sign-in."
        es "Su usuario y su contraseña de {product} son correctos, pero nadie le ha dado de alta para este inicio de sesión."
    not_set_up_remedy
        en "Ask your user manager to add you."
        es "Pida a su administrador de usuarios que le dé de alta."
    not_open_to_you(product: &str)
        en "{product} is not open to you"
        es "{product} no está disponible para usted"
    not_granted_what(product: &str)
        en "{product} is given to people one by one, and you don't have it yet."
        es "El acceso a {product} se concede persona por persona, y usted todavía no lo tiene."
    can_grant_you(product: &str)
        en "A user manager of your company can grant you {product}."
        es "Un administrador de usuarios de su empresa puede concederle {product}."
    can_grant_you_named(product: &str, names: &str)
        en "A user manager of your company can grant you {product}: {names}."
        es "Un administrador de usuarios de su empresa puede concederle {product}: {names}."
    sso_not_here_yet(product: &str)
        en "Single Sign-On for {product} is not here yet"
        es "El inicio de sesión único para {product} todavía no está aquí"
    not_on_record
        en "Nothing can be changed right now"
        es "Ahora mismo no se puede cambiar nada"
    not_on_record_what
        en "What is changed here has to be written down, and that is not possible at the moment."
        es "Lo que se cambia aquí tiene que quedar registrado, y en este momento no es posible."
    not_on_record_remedy
        en "Nothing was changed. Please try again in a few minutes."
        es "No se ha cambiado nada. Vuelva a intentarlo dentro de unos minutos."
    account_taken
        en "This account is paired already"
        es "Esta cuenta ya está vinculada"
    account_taken_what(product: &str)
        en "That {product} account is paired with another person's sign-in."
        es "Esa cuenta de {product} está vinculada al inicio de sesión de otra persona."
    account_taken_remedy
        en "Ask your user manager to set it right."
        es "Pida a su administrador de usuarios que lo corrija."
    account_taken_remedy_named(names: &str)
        en "Ask your user manager to set it right: {names}."
        es "Pida a su administrador de usuarios que lo corrija: {names}."
    use_another_account
        en "Use another account"
        es "Usar otra cuenta"
    password_not_changed_here(product: &str)
        en "The {product} password can't be changed here"
        es "La contraseña de {product} no se puede cambiar aquí"
    link_no_longer_good
        en "This link is no longer good"
        es "Este enlace ya no sirve"
    link_no_longer_good_what
        en "It was used, it is older than 60 minutes, or a newer one was sent."
        es "Ya se usó, tiene más de 60 minutos o se envió uno más reciente."
    link_no_longer_good_remedy
        en "Ask for another one."
        es "Pida otro."
    not_linked
        en "Not one of your applications"
        es "No es una de sus aplicaciones"
    not_linked_what
        en "Only a linked application can be the default."
        es "Solo una aplicación vinculada puede ser la predeterminada."
    not_linked_remedy
        en "Choose another, or pair it first."
        es "Elija otra o vincúlela primero."
    not_your_company
        en "Not your company"
        es "No es su empresa"
    not_your_company_what
        en "You can't switch to this company."
        es "Usted no puede cambiar a esta empresa."
    not_your_company_remedy
        en "Choose one of your own."
        es "Elija una de las suyas."
    for_user_managers
        en "For user managers"
        es "Para administradores de usuarios"
    for_user_managers_what
        en "Only the user managers of your company can look after its people."
        es "Solo los administradores de usuarios de su empresa pueden gestionar a sus personas."
    for_user_managers_remedy
        en "Ask one of them, or an admin of your company."
        es "Pregunte a uno de ellos o a un administrador de su empresa."
    for_company_admins
        en "For company admins"
        es "Para administradores de la empresa"
    for_company_admins_what
        en "Only the admins of your company can open this page."
        es "Solo los administradores de su empresa pueden abrir esta página."
    for_company_admins_remedy
        en "Ask one of them, or your user manager."
        es "Pregunte a uno de ellos o a su administrador de usuarios."
    this_is_you_title
        en "This is you"
        es "Es usted"
    nobody_resets_themselves_here
        en "Nobody can reset, disable or sign out themselves here, so that nobody locks themselves out."
        es "Aquí nadie puede restablecerse, desactivarse ni cerrar su propia sesión, para que nadie se quede sin acceso."
    change_your_own
        en "Change your own sign-in in My Profile, or ask another user manager."
        es "Cambie su propio inicio de sesión en Mi perfil, o pídaselo a otro administrador de usuarios."

    // Second factors.
    factor_unusable
        en "Your second factor can't be used right now"
        es "Su segundo factor no se puede usar en este momento"
    factor_unusable_what
        en "What you set up for multi-factor authentication is not available at the moment."
        es "Lo que configuró para la autenticación multifactor no está disponible en este momento."
    factor_unusable_remedy
        en "Try again later, or ask your user manager to reset your multi-factor authentication."
        es "Inténtelo más tarde o pida a su administrador de usuarios que restablezca su autenticación multifactor."
    too_many_wrong_codes
        en "Too many wrong codes"
        es "Demasiados códigos incorrectos"
    no_more_codes
        en "No more codes are accepted for this account."
        es "Ya no se aceptan más códigos para esta cuenta."
    no_more_codes_of_method
        en "No more codes of this method are accepted for this account."
        es "Ya no se aceptan más códigos de este método para esta cuenta."
    ask_to_reset
        en "Ask your user manager to reset your multi-factor authentication."
        es "Pida a su administrador de usuarios que restablezca su autenticación multifactor."
    other_method_or_ask_to_reset
        en "Try another method. Ask your user manager to reset your multi-factor authentication."
        es "Pruebe otro método. Pida a su administrador de usuarios que restablezca su autenticación multifactor."
    back_to_the_code
        en "Back to the code"
        es "Volver al código"
    passkeys_full
        en "You have many passkeys"
        es "Usted tiene muchas llaves de acceso"
    passkeys_full_what
        en "No more passkeys can be added to your account."
        es "No se pueden añadir más llaves de acceso a su cuenta."
    passkeys_full_remedy
        en "Remove one that you don't use any more, then try again."
        es "Quite una que ya no use e inténtelo de nuevo."
    not_offered
        en "Not offered by your company"
        es "Su empresa no lo ofrece"
    not_offered_what
        en "Your company does not use this for multi-factor authentication."
        es "Su empresa no usa esto para la autenticación multifactor."

    // A company's own provider.
    please_start_again
        en "Please start again"
        es "Empiece de nuevo"
    begun_elsewhere
        en "This sign-in was not begun in this browser, or too long ago, or it was used already."
        es "Este inicio de sesión no comenzó en este navegador, comenzó hace demasiado tiempo o ya se usó."
    start_from_here
        en "Start again from here."
        es "Empiece de nuevo desde aquí."
    you_are_not_signed_in
        en "You are not signed in"
        es "Usted no ha iniciado sesión"
    provider_denied(provider: &str)
        en "{provider} did not let you in, or you went back."
        es "{provider} no le dejó entrar, o usted volvió atrás."
    provider_mixed_up(provider: &str)
        en "The answer did not come from {provider}."
        es "La respuesta no vino de {provider}."
    provider_answer(provider: &str)
        en "What {provider} answered can't be accepted."
        es "No se puede aceptar lo que respondió {provider}."
    provider_remedy
        en "Try again. If it happens again, tell your administrator the request id below."
        es "Inténtelo de nuevo. Si vuelve a ocurrir, indique a su administrador el número de solicitud de abajo."
    provider_silent(provider: &str)
        en "{provider} does not answer"
        es "{provider} no responde"
    provider_silent_what(provider: &str)
        en "You sign in through {provider}, which can't be reached right now."
        es "Usted inicia sesión a través de {provider}, al que no se puede llegar en este momento."
    no_place_for_you
        en "There is no place for you here yet"
        es "Todavía no hay un lugar para usted aquí"
    no_place_for_you_what(provider: &str)
        en "{provider} knows you, but no account here belongs to you."
        es "{provider} le conoce, pero ninguna cuenta de aquí es suya."
    no_place_for_you_remedy
        en "A user manager of your company can set one up."
        es "Un administrador de usuarios de su empresa puede crearle una."
}
